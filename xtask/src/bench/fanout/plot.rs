//! The plot: what a delivery costs in W1 and W1w8, as bars. Its colours hold on a light page and on a dark one.

use super::{contender::Contender, measured::Figure, results::Results, workload::Workload};

const BAR: f64 = 18.0;
const GAP: f64 = 8.0;
const LEFT: f64 = 170.0;
const WIDTH: f64 = 760.0;
/// What is kept free to the right of the longest bar, for its number.
const RIGHT: f64 = 60.0;
const HEAD: f64 = 34.0;

/// An SVG, if there is anything to show.
pub(super) fn svg(results: &Results, caption: &str) -> Option<String> {
    let panels: Vec<(Workload, Vec<(Contender, f64)>)> = [Workload::W1, Workload::W1w8]
        .into_iter()
        .filter(|workload| results.has(*workload))
        .map(|workload| {
            let bars = Contender::ALL.iter().filter_map(|contender| {
                Some((*contender, results.figure((workload, *contender, ""), Figure::Cpu)?))
            });
            (workload, bars.collect())
        })
        .collect();
    let rows: usize = panels.iter().map(|(_, bars)| bars.len()).sum();
    if rows == 0 {
        return None;
    }
    let height = rows as f64 * (BAR + GAP) + panels.len() as f64 * (HEAD + GAP) + HEAD;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <title>Server CPU seconds per million deliveries</title>\n\
         <style>\n\
         text {{ fill: #24292f; }} .ours {{ fill: #0969da; }} .other {{ fill: #8c959f; }} .floor {{ fill: #bf8700; }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3; }} .ours {{ fill: #58a6ff; }} \
         .other {{ fill: #6e7681; }} .floor {{ fill: #d29922; }} }}\n\
         </style>\n"
    );
    let mut y = 0.0;
    for (workload, bars) in &panels {
        y += HEAD;
        svg += &format!(
            "<text x=\"0\" y=\"{}\" font-weight=\"600\">{}</text>\n",
            y - 12.0,
            workload.title().replace('&', "&amp;").replace('<', "&lt;")
        );
        let most = bars.iter().map(|(_, cpu)| *cpu).fold(f64::MIN_POSITIVE, f64::max);
        for (contender, cpu) in bars {
            let width = (WIDTH - LEFT - RIGHT) * cpu / most;
            let class = match contender {
                Contender::Floor => "floor",
                _ if contender.is_ours() => "ours",
                _ => "other",
            };
            let (base, end) = (y + BAR - 4.5, LEFT + width + 6.0);
            svg += &format!(
                "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{}</text>\
                 <rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"/>\
                 <text x=\"{end:.1}\" y=\"{base}\">{cpu:.2}</text>\n",
                LEFT - 8.0,
                contender.title(),
            );
            y += BAR + GAP;
        }
        y += GAP;
    }
    svg += &format!("<text x=\"0\" y=\"{}\" font-size=\"11\">{caption}</text>\n</svg>\n", y + 14.0);
    Some(svg)
}

#[cfg(test)]
mod tests {
    use super::{super::measured::Measured, *};

    #[test]
    fn the_longest_bar_fits() {
        let cpu = |cpu_seconds| Measured { cpu_seconds, deliveries: 1_000_000, ..Measured::default() };
        let round = [
            ((Workload::W1, Contender::Hyper, ""), cpu(5.0)),
            ((Workload::W1, Contender::Floor, ""), cpu(10.0)),
        ];
        let svg = svg(&Results { rounds: vec![round.into()], failures: Vec::new() }, "when").unwrap();
        assert!(svg.contains("width=\"530.0\"") && svg.contains("width=\"265.0\""), "{svg}");
        assert!(svg.contains(">5.00<") && svg.contains("class=\"floor\"") && svg.contains(">when<"), "{svg}");
        assert_eq!(super::svg(&Results::default(), ""), None);
    }
}
