//! `${NAME}` in settings: secrets stay out of URLs and files.

use std::env::VarError;

use crate::{Error, ErrorKind, Result};

/// Puts environment variables where a text names them: `${NAME}` becomes the variable's value, `$${` becomes `${`.
/// Anything else stays as it is, a `$` too. What a variable holds is not looked at again.
///
/// The values of a [`SourceUrl`](crate::SourceUrl)'s parameters come expanded already.
///
/// ```
/// use tidewater_core::plugin::expand;
///
/// assert_eq!(expand("5 $ and $${NOTHING}")?, "5 $ and ${NOTHING}");
/// assert!(expand("${NO_SUCH_VARIABLE}").unwrap_err().to_string().contains("is not set"));
/// # Ok::<(), tidewater_core::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Config`] for a variable that is not set or not UTF-8, and for `${` without a name and `}`. Errors name
/// the variable and show nothing else of the text.
pub fn expand(text: &str) -> Result<String> {
    expand_with(text, |name| std::env::var(name))
}

fn expand_with(text: &str, variable: impl Fn(&str) -> Result<String, VarError>) -> Result<String> {
    let config = |message: String| Error::new(ErrorKind::Config, message);
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, named) = (&rest[..at], &rest[at + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = named;
            continue;
        }
        expanded.push_str(before);
        let legal = |name: &&str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let name = named.split_once('}').map(|(name, _)| name).filter(legal).ok_or_else(|| {
            config("\"${\" begins the name of an environment variable, as in ${NAME}; to have it as it is, write \"$${\"".to_owned())
        })?;
        let value = variable(name).map_err(|error| {
            config(match error {
                VarError::NotPresent => format!("the environment variable {name} is not set"),
                VarError::NotUnicode(_) => format!("the environment variable {name} is not UTF-8"),
            })
        })?;
        expanded.push_str(&value);
        rest = &named[name.len() + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Result<String> {
        expand_with(text, |name| match name {
            "USER" => Ok("ada".to_owned()),
            "TRICKY" => Ok("${USER}$".to_owned()),
            "ODD" => Err(VarError::NotUnicode("x".into())),
            _ => Err(VarError::NotPresent),
        })
    }

    #[test]
    fn variables_are_put_in() {
        for (text, expanded) in [
            ("", ""),
            ("a$b$$c${USER}d", "a$b$$cadad"),
            ("${USER}${USER}", "adaada"),
            ("$${USER}", "${USER}"),
            ("$$${USER}", "$${USER}"),
            ("${TRICKY}{USER}", "${USER}${USER}"),
            ("grün ${USER}", "grün ada"),
        ] {
            assert_eq!(expand(text).unwrap(), expanded, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_put_in_is_named_and_nothing_else() {
        for (text, what) in [
            ("hunter2${NONE}", "NONE is not set"),
            ("hunter2${ODD}", "ODD is not UTF-8"),
            ("hunter2${", "${NAME}"),
            ("hunter2${}", "${NAME}"),
            ("${hunter2 x}", "${NAME}"),
        ] {
            let error = expand(text).unwrap_err().to_string();
            assert!(error.contains(what) && !error.contains("hunter2"), "{text}: {error}");
        }
    }
}
