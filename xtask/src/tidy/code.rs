//! Rust source without its comments and literals, so that a word found in it is code.

/// Blanks comments, strings and character literals; lines stay where they are.
pub(super) fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match literal_or_comment(rest, code.chars().next_back()) {
            0 => {
                code.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            }
            length => length,
        };
        // A blank keeps the words on both sides apart.
        code.push(' ');
        code.extend(rest[..length].chars().filter(|c| *c == '\n'));
        rest = &rest[length..];
    }
    code
}

/// Length in bytes of the comment or literal that begins here; 0 if none does.
fn literal_or_comment(text: &str, before: Option<char>) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment(text);
    }
    if text.starts_with('"') {
        return quoted(text, '"');
    }
    // In `for"` the letter would belong to a word before it.
    if text.starts_with('r') && !before.is_some_and(|c| (c.is_alphanumeric() && c != 'b') || c == '_') {
        return raw_string(text);
    }
    if text.starts_with('\'') {
        return character(text);
    }
    0
}

/// Block comments nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn raw_string(text: &str) -> usize {
    let hashes = text[1..].bytes().take_while(|b| *b == b'#').count();
    let Some(body) = text[1 + hashes..].strip_prefix('"') else { return 0 };
    let end = format!("\"{}", "#".repeat(hashes));
    body.find(&end).map_or(text.len(), |at| 2 + hashes + at + end.len())
}

/// A character literal; a lifetime has no closing quote behind its first character.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => quoted(text, '\''),
        Some(_) => match chars.next() {
            Some((at, '\'')) => at + 1,
            _ => 0,
        },
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_code_alone() {
        let code = "fn f<'a>(x: &'a str) -> bool { x.len() / 2 > 1 && r == 'b'.into() }";
        assert_eq!(without_comments_and_strings(code), code.replace("'b'", " "));
    }

    #[test]
    fn blanks_what_is_not_code() {
        for text in [
            "// word",
            "/* word /* word */ word */",
            "\"word \\\" word\"",
            "r\"word\\\"",
            "r#\"word \" word\"#",
            "br#\"word\"#",
            "b\"word\"",
            "'\"' // word \"",
            "'\\'' // word",
        ] {
            let code = without_comments_and_strings(&format!("a {text}\nb"));
            assert!(!code.contains("word"), "{text}: {code}");
            assert!(code.starts_with('a') && code.ends_with("\nb"), "{text}: {code}");
        }
    }

    #[test]
    fn lines_stay_where_they_are() {
        let code = without_comments_and_strings("/*\n\n*/ \"\n\" x");
        assert_eq!(code.lines().position(|line| line.contains('x')), Some(3));
    }
}
