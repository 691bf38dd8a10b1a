//! The pages AEMM shows with 400, 401 and 404. Its 404 page is laid out as EC2's, with a single tab in the third
//! line; the other two are its own.

/// The page, without the line end that Go's `http.Error` adds.
pub(crate) fn page(status: u16) -> String {
    let title = match status {
        400 => "400 - Bad Request",
        401 => "401 - Unauthorized",
        _ => "404 - Not Found",
    };
    let (encoding, doctype_gap, step) = match status {
        404 => ("iso-8859-1", "\n\t", " "),
        _ => ("UTF-8", " ", "   "),
    };
    let two = step.repeat(2);
    [
        format!("<?xml version=\"1.0\" encoding=\"{encoding}\"?>"),
        format!(
            "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\"{doctype_gap}\
             \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">"
        ),
        "<html xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"en\" lang=\"en\">".to_owned(),
        format!("{step}<head>"),
        format!("{two}<title>{title}</title>"),
        format!("{step}</head>"),
        format!("{step}<body>"),
        format!("{two}<h1>{title}</h1>"),
        format!("{step}</body>"),
        "</html>".to_owned(),
    ]
    .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_as_in_the_files_of_its_end_to_end_suite() {
        // Those files hold the pages with a line end.
        assert_eq!(page(400).len() + 1, 351);
        assert_eq!(page(401).len() + 1, 353);
        assert!(page(404).contains("Transitional//EN\"\n\t\"http://www.w3.org"));
        assert!(page(404).ends_with(" <body>\n  <h1>404 - Not Found</h1>\n </body>\n</html>"));
    }
}
