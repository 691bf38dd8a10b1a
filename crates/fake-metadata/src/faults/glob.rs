//! Path patterns: `*` stands for any characters, slashes too, `?` for one. Everything else is itself.

/// A pattern for whole paths, in their one spelling ([`imds::canonical`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glob(String);

impl Glob {
    /// The pattern that a person means: `iam/*` is below `meta-data` of any version, `api/token` below any
    /// version; what begins with a slash, a star or a version stands as it is.
    ///
    /// # Errors
    /// When it is empty.
    pub(crate) fn new(text: &str) -> Result<Glob, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err(
                "an empty path matches nothing: write a path such as iam/* or /latest/api/token".into()
            );
        }
        let first = text.split('/').next().unwrap_or("");
        let pattern = match first {
            "" => text.to_owned(),
            _ if text.starts_with('*') => text.to_owned(),
            _ if imds::VERSIONS.contains(&first) => format!("/{text}"),
            "meta-data" | "dynamic" | "user-data" | "api" => format!("/*/{text}"),
            _ => format!("/*/meta-data/{text}"),
        };
        let trimmed = pattern.trim_end_matches('/');
        Ok(Glob(if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() }))
    }

    /// Whether a path, in its one spelling, is meant.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let (pattern, path) = (self.0.as_bytes(), path.as_bytes());
        let (mut at, mut seen) = (0, 0);
        // Where to go on when what follows the last star did not fit.
        let mut retry: Option<(usize, usize)> = None;
        while seen < path.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    retry = Some((at + 1, seen));
                    at += 1;
                }
                Some(wanted) if *wanted == b'?' || *wanted == path[seen] => {
                    at += 1;
                    seen += 1;
                }
                _ => match retry {
                    Some((star, from)) => {
                        retry = Some((star, from + 1));
                        at = star;
                        seen = from + 1;
                    }
                    None => return false,
                },
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let role = "/latest/meta-data/iam/security-credentials/app";
        for (pattern, path, matches) in [
            ("iam/*", role, true),
            ("iam/security-credentials/", "/latest/meta-data/iam/security-credentials", true),
            ("iam/security-credentials", role, false),
            ("*security-credentials*", role, true),
            ("*", "/", true),
            ("/", "/", true),
            ("/*", "/latest", true),
            ("/latest/*/app", role, true),
            ("/latest/*/ap", role, false),
            ("2021-03-23/*", role, false),
            ("2021-03-23/*", "/2021-03-23/meta-data/mac", true),
            ("api/token", "/latest/api/token", true),
            ("instance-i?", "/1.0/meta-data/instance-id", true),
            ("instance-?", "/1.0/meta-data/instance-id", false),
            ("a*b*c", "/latest/meta-data/aXbXbXc", true),
            ("a*b*c", "/latest/meta-data/aXbXbX", false),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().matches(path), matches, "{pattern} {path}");
        }
        assert!(Glob::new(" ").is_err());
    }
}
