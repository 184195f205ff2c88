//! Prints what each decoder makes of the vectors, as JSON.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let verdicts = tidewater_codec_bench::vectors::run()?;
    println!("{}", serde_json::to_string_pretty(&verdicts)?);
    Ok(())
}
