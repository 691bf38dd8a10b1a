//! JSON as Go's `encoding/json` prints AEMM's documents: members in a fixed order, a tab a level, `<`, `>` and `&`
//! escaped. Lists of texts stay on one line.

use serde_json::Value;

/// A document with its members in order.
pub(crate) type Members = Vec<(&'static str, Value)>;

/// An object over several lines.
pub(crate) fn object(members: &Members) -> String {
    indented(members, 0)
}

/// A list of objects over several lines.
pub(crate) fn list(objects: &[Members]) -> String {
    let objects: Vec<String> = objects.iter().map(|members| format!("\t{}", indented(members, 1))).collect();
    format!("[\n{}\n]", objects.join(",\n"))
}

/// Any value on one line, objects in the order of `serde_json`.
pub(crate) fn compact(value: &Value) -> String {
    escaped(value)
}

fn indented(members: &Members, level: usize) -> String {
    let tabs = "\t".repeat(level);
    let lines: Vec<String> =
        members.iter().map(|(key, value)| format!("{tabs}\t\"{key}\": {}", escaped(value))).collect();
    format!("{{\n{}\n{tabs}}}", lines.join(",\n"))
}

/// Go escapes what could end a script element, and the line separators of JavaScript. They can only stand within
/// texts.
fn escaped(value: &Value) -> String {
    value
        .to_string()
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_lists_and_escapes() {
        let members: Members = vec![("b", json!("x<y>&\"z\"")), ("a", Value::Null), ("c", json!(["1", "2"]))];
        assert_eq!(
            object(&members),
            "{\n\t\"b\": \"x\\u003cy\\u003e\\u0026\\\"z\\\"\",\n\t\"a\": null,\n\t\"c\": [\"1\",\"2\"]\n}"
        );
        assert_eq!(list(&[vec![("a", json!("1"))]]), "[\n\t{\n\t\t\"a\": \"1\"\n\t}\n]");
        assert_eq!(compact(&json!({"a": {"b": "c"}})), "{\"a\":{\"b\":\"c\"}}");
    }
}
