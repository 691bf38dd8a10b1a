//! The marked block in `/etc/network/interfaces`: text in, text out.
//!
//! The block sits directly below the line `iface lo inet loopback`, inside that stanza, and calls our program. A
//! second `iface lo` stanza or a drop-in would be wrong: with those, `ifdown lo` of ifupdown 0.8.41 takes 127.0.0.1
//! away (measured). A failing `up` line would leave `lo` unconfigured, so ours ends in `|| true`.
//!
//! This module writes no file, makes no stanza where there is none, and changes no byte outside its block:
//! [`remove`] after [`insert`] gives the text that was there before.

use std::borrow::Cow;
use std::ops::Range;

/// First line of the block.
pub(crate) const BEGIN: &str = "# >>> fake-metadata: do not edit, `fake-metadata-setup remove` takes it out";
/// Last line of the block.
pub(crate) const END: &str = "# <<< fake-metadata";
/// What is recognised as a begin marker, whatever a later version writes after it.
const BEGIN_START: &str = "# >>> fake-metadata";

/// Why a text is not edited. Line numbers start at 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// A begin marker without an end marker below it.
    #[error("line {0} begins our block but no line ends it (delete that line and what is left of the block)")]
    NoEnd(usize),
    /// An end marker without a begin marker above it.
    #[error("line {0} ends our block but no line begins it (delete that line and what is left of the block)")]
    NoBegin(usize),
    /// More than one complete block.
    #[error("line {0} begins a second block of ours (delete one of them)")]
    Second(usize),
}

/// What a text has of ours, and whether it could have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// No place for a block: no `iface lo inet loopback` stanza (normal on a fresh Debian and in images), or a person's
    /// own stanza for 169.254.169.254.
    NoPlace,
    /// A stanza without our block.
    Absent,
    /// Our block, exactly as this program writes it, in its place.
    Present,
    /// A block of ours with other content or in another place (an older version, or a person's edit).
    Stale,
}

/// What `text` has of ours. `program` is the program that the block calls.
///
/// # Errors
/// [`EditError`] when the markers do not form one block.
pub fn inspect(text: &[u8], program: &str) -> Result<Block, EditError> {
    let found = find_block(text)?.is_some();
    Ok(match (insert(text, program)?, found) {
        (Cow::Borrowed(_), true) => Block::Present,
        (Cow::Borrowed(_), false) => Block::NoPlace,
        (Cow::Owned(_), true) => Block::Stale,
        (Cow::Owned(_), false) => Block::Absent,
    })
}

/// The text with our block in the first `iface lo inet loopback` stanza. Borrowed when nothing has to change:
/// the block is there, or there is no such stanza.
///
/// # Errors
/// [`EditError`] when the markers do not form one block.
pub fn insert<'a>(text: &'a [u8], program: &str) -> Result<Cow<'a, [u8]>, EditError> {
    let bare = remove(text)?;
    let Some(header) = place(&bare) else {
        // A block of ours without a place goes: outside a stanza it would be an error to ifupdown.
        return Ok(bare);
    };
    let eol = header_eol(&bare, &header);
    let unterminated = !bare[..header.end].ends_with(b"\n");
    let lines = block_lines(program);
    let mut block = Vec::new();
    for line in &lines {
        if unterminated {
            block.extend_from_slice(eol);
        }
        block.extend_from_slice(line.as_bytes());
        if !unterminated {
            block.extend_from_slice(eol);
        }
    }
    let wanted = [&bare[..header.end], &block, &bare[header.end..]].concat();
    Ok(if wanted == text { Cow::Borrowed(text) } else { Cow::Owned(wanted) })
}

/// The text without our block. Borrowed when there is none.
///
/// # Errors
/// [`EditError`] when the markers do not form one block.
pub fn remove(text: &[u8]) -> Result<Cow<'_, [u8]>, EditError> {
    let Some(mut block) = find_block(text)? else { return Ok(Cow::Borrowed(text)) };
    // A block that ends the text without a newline was put behind a header that had none: give that back.
    if block.end == text.len() && !text.ends_with(b"\n") {
        block.start -= eol_before(&text[..block.start]);
    }
    Ok(Cow::Owned([&text[..block.start], &text[block.end..]].concat()))
}

/// The first line that sets the metadata address up and is no comment: a person's own stanza. The number starts
/// at 1. Our block does not name the address.
pub(crate) fn first_mention(text: &[u8]) -> Option<usize> {
    let needle = crate::IPV4.to_string();
    lines(text).enumerate().find_map(|(index, line)| {
        let content = String::from_utf8_lossy(&text[line]);
        (!content.trim_start().starts_with('#') && content.contains(&needle)).then_some(index + 1)
    })
}

/// Behind which line our block goes. None next to a person's own stanza for the address: `ip addr add` there would
/// fail, and the stanza with it, once our program had put the address on `lo` before.
fn place(text: &[u8]) -> Option<Range<usize>> {
    if first_mention(text).is_some() { None } else { lo_stanza_header(text) }
}

fn block_lines(program: &str) -> [String; 3] {
    let up = format!("    up {program} apply --boot >/dev/null 2>&1 || true");
    [BEGIN.to_owned(), up, END.to_owned()]
}

/// The bytes of our block, whole lines.
fn find_block(text: &[u8]) -> Result<Option<Range<usize>>, EditError> {
    let mut begin: Option<(usize, usize)> = None;
    let mut block: Option<Range<usize>> = None;
    for (number, line) in lines(text).enumerate().map(|(index, line)| (index + 1, line)) {
        let content = text[line.clone()].trim_ascii();
        if content.starts_with(BEGIN_START.as_bytes()) {
            if let Some((first, _)) = begin {
                return Err(EditError::NoEnd(first));
            }
            if block.is_some() {
                return Err(EditError::Second(number));
            }
            begin = Some((number, line.start));
        } else if content == END.as_bytes() {
            let (_, start) = begin.take().ok_or(EditError::NoBegin(number))?;
            block = Some(start..line.end);
        }
    }
    match begin {
        Some((number, _)) => Err(EditError::NoEnd(number)),
        None => Ok(block),
    }
}

/// The bytes of the line `iface lo inet loopback`, with its continuation lines and its end of line.
fn lo_stanza_header(text: &[u8]) -> Option<Range<usize>> {
    let mut rest = lines(text).peekable();
    while let Some(first) = rest.next() {
        let mut logical = first.clone();
        let start = text[first.clone()].trim_ascii_start();
        // ifupdown skips a comment before it looks for a continuation, so a backslash does not carry a comment on.
        if !start.starts_with(b"#") {
            while continues(&text[logical.clone()]) {
                let Some(next) = rest.next() else { break };
                logical.end = next.end;
            }
        }
        let whole = &text[logical.clone()];
        if is_lo_header(whole) {
            // A backslash at the very end would carry our first line into the header.
            return (!continues(whole)).then_some(logical);
        }
    }
    None
}

/// Whether the next physical line belongs to this one: a backslash directly before the newline.
fn continues(line: &[u8]) -> bool {
    line.ends_with(b"\\\n")
}

fn is_lo_header(line: &[u8]) -> bool {
    let joined: Vec<u8> = String::from_utf8_lossy(line).replace("\\\n", "").into_bytes();
    let mut words = joined.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let expected: [&[u8]; 4] = [b"iface", b"lo", b"inet", b"loopback"];
    expected.iter().all(|word| words.next() == Some(word))
}

/// The end of line to write below the header: its own; behind a header that has none, the file's.
fn header_eol(text: &[u8], header: &Range<usize>) -> &'static [u8] {
    match &text[header.clone()] {
        line if line.ends_with(b"\r\n") => b"\r\n",
        line if line.ends_with(b"\n") => b"\n",
        // A bare newline here would make the stray carriage return part of an end of line.
        line if line.ends_with(b"\r") => b"\r\n",
        _ if lines(text).next().is_some_and(|first| text[first].ends_with(b"\r\n")) => b"\r\n",
        _ => b"\n",
    }
}

/// Length of the end of line that `text` ends in.
fn eol_before(text: &[u8]) -> usize {
    match text {
        _ if text.ends_with(b"\r\n") => 2,
        _ if text.ends_with(b"\n") => 1,
        _ => 0,
    }
}

/// The physical lines of a text, each with its newline.
fn lines(text: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = 0;
    text.split_inclusive(|byte| *byte == b'\n').map(move |line| {
        let range = at..at + line.len();
        at = range.end;
        range
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROGRAM: &str = "/usr/sbin/fake-metadata-setup";

    fn inserted(text: &str) -> String {
        String::from_utf8(insert(text.as_bytes(), PROGRAM).unwrap().into_owned()).unwrap()
    }

    fn removed(text: &str) -> String {
        String::from_utf8(remove(text.as_bytes()).unwrap().into_owned()).unwrap()
    }

    fn block(eol: &str) -> String {
        block_lines(PROGRAM).map(|line| line + eol).concat()
    }

    /// Where the block must appear; `@` stands for it. No `@`: nothing changes.
    fn check(marked: &str, eol: &str) {
        let text = marked.replace('@', "");
        let edited = inserted(&text);
        assert_eq!(edited, marked.replace('@', &block(eol)), "insert");
        assert_eq!(inserted(&edited), edited, "insert twice");
        assert_eq!(removed(&edited), text, "remove");
        assert_eq!(removed(&text), text, "remove where there is none");
    }

    #[test]
    fn the_block_goes_below_the_header_of_the_lo_stanza() {
        check("auto lo\niface lo inet loopback\n@", "\n");
        check("iface lo inet loopback\n@    post-up true\n\niface eth0 inet dhcp\nauto lo\n", "\n");
        check("auto lo eth0\niface eth0 inet dhcp\n\n# the loopback\niface lo inet loopback\n@", "\n");
        check("source interfaces.d/*\niface\tlo  inet\tloopback \n@", "\n");
        check("iface lo inet loopback inherits base\n@", "\n");
    }

    #[test]
    fn a_file_without_a_place_is_left_alone() {
        check("", "\n");
        check("source /etc/network/interfaces.d/*\n", "\n");
        check("auto lo\niface eth0 inet dhcp", "\n");
        check("# iface lo inet loopback\n", "\n");
        check("iface lo inet6 loopback\niface lo:1 inet loopback\niface loop inet loopback\n", "\n");
        check("iface lo inet loopback\niface lo:1 inet static\n  address 169.254.169.254/32\n", "\n");
        check("iface lo inet loopback\n  up ip addr add 169.254.169.254 dev lo\n", "\n");
        // The backslash would carry our first line into the header.
        check("iface lo inet loopback \\\n", "\n");
    }

    #[test]
    fn of_several_lo_stanzas_the_first_is_taken() {
        check("iface lo inet loopback\n@auto lo\niface lo inet loopback\n", "\n");
    }

    #[test]
    fn a_continued_header_is_one_line_and_a_continued_comment_is_not() {
        check("iface lo \\\ninet loopback\n@", "\n");
        check("# comment \\\niface lo inet loopback\n@", "\n");
        check("auto eth0 \\\n  lo\niface lo inet loopback\n@", "\n");
        // Not a stanza of its own, but more words for auto.
        check("auto eth0 \\\niface lo inet loopback\n", "\n");
    }

    #[test]
    fn line_ends_are_kept() {
        check("auto lo\r\niface lo inet loopback\r\n@\r\n", "\r\n");
        assert_eq!(
            inserted("auto lo\r\niface lo inet loopback"),
            format!("auto lo\r\niface lo inet loopback\r\n{}", block("\r\n").trim_end())
        );
        assert_eq!(
            inserted("iface lo inet loopback"),
            format!("iface lo inet loopback\n{}", block("\n").trim_end())
        );
        for text in
            ["iface lo inet loopback", "iface lo inet loopback\r", "auto lo\r\niface lo inet loopback"]
        {
            assert_eq!(removed(&inserted(text)), text);
        }
    }

    #[test]
    fn an_older_block_is_replaced_and_a_moved_one_comes_back() {
        let old = "iface lo inet loopback\n# >>> fake-metadata 0.0\n  up old || true\n# <<< fake-metadata\n";
        assert_eq!(inserted(old), inserted("iface lo inet loopback\n"));
        let moved = format!("{}iface lo inet loopback\n", block("\n"));
        assert_eq!(inserted(&moved), inserted("iface lo inet loopback\n"));
        assert_eq!(inspect(moved.as_bytes(), PROGRAM), Ok(Block::Stale));
        // Its stanza is gone: outside one it would be an error to ifupdown.
        assert_eq!(inserted(&block("\n")), "");
    }

    #[test]
    fn inspect_tells_what_there_is() {
        let bare = b"iface lo inet loopback\n";
        assert_eq!(inspect(bare, PROGRAM), Ok(Block::Absent));
        assert_eq!(inspect(&insert(bare, PROGRAM).unwrap(), PROGRAM), Ok(Block::Present));
        assert_eq!(inspect(&insert(bare, "/other").unwrap(), PROGRAM), Ok(Block::Stale));
        assert_eq!(inspect(b"", PROGRAM), Ok(Block::NoPlace));
    }

    #[test]
    fn markers_that_do_not_pair_are_errors() {
        let lone = |text: &str| remove(text.as_bytes()).unwrap_err();
        assert_eq!(lone(&format!("a\n{BEGIN}\n")), EditError::NoEnd(2));
        assert_eq!(lone(&format!("{BEGIN}\n{BEGIN}\n{END}\n")), EditError::NoEnd(1));
        assert_eq!(lone(&format!("a\n\n{END}\n")), EditError::NoBegin(3));
        assert_eq!(lone(&format!("{BEGIN}\n{END}\n{BEGIN}\n{END}")), EditError::Second(3));
        assert!(insert(format!("iface lo inet loopback\n{BEGIN}").as_bytes(), PROGRAM).is_err());
    }

    /// Files made of the pieces that matter to the editor, ends of line and stray bytes included.
    fn file() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => Just(&b"iface lo inet loopback"[..]),
            1 => Just(&b"\tiface\t lo inet loopback \t"[..]),
            2 => Just(&b"auto lo"[..]),
            1 => Just(&b"iface eth0 inet static"[..]),
            1 => Just(&b"    address 10.0.0.1/24"[..]),
            1 => Just(&b"    address 169.254.169.254"[..]),
            1 => Just(&b"# comment"[..]),
            1 => Just(&b"# >> not a marker"[..]),
            1 => Just(&b"\xff\xfe\x00"[..]),
            1 => Just(&b""[..]),
        ];
        let end = prop_oneof![6 => Just(&b"\n"[..]), 3 => Just(&b"\r\n"[..]), 1 => Just(&b"\\\n"[..]), 1 => Just(&b"\r"[..])];
        let lines = prop::collection::vec((piece, end), 0..10);
        (lines, any::<bool>()).prop_map(|(lines, ended)| {
            let mut text: Vec<u8> = lines.iter().flat_map(|(piece, end)| [*piece, *end].concat()).collect();
            if !ended {
                let length = text.trim_ascii_end().len();
                text.truncate(length);
            }
            text
        })
    }

    proptest! {
        #[test]
        fn remove_after_insert_is_the_original(text in file()) {
            let edited = insert(&text, PROGRAM).unwrap();
            prop_assert_eq!(remove(&edited).unwrap().into_owned(), text);
        }

        #[test]
        fn insert_twice_is_insert_once(text in file()) {
            let once = insert(&text, PROGRAM).unwrap();
            let twice = insert(&once, PROGRAM).unwrap();
            prop_assert!(matches!(twice, Cow::Borrowed(_)), "the second time nothing is written");
            prop_assert_eq!(&once, &twice);
        }

        #[test]
        fn only_one_run_of_bytes_is_new(text in file()) {
            let edited = insert(&text, PROGRAM).unwrap();
            let same_start = text.iter().zip(edited.iter()).take_while(|(a, b)| a == b).count();
            let rest = &text[same_start..];
            prop_assert!(edited.ends_with(rest));
        }

        #[test]
        fn no_bytes_make_the_editor_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(edited) = insert(&text, PROGRAM) {
                prop_assert_eq!(remove(&edited).unwrap(), remove(&text).unwrap());
            }
        }
    }
}
