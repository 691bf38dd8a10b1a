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
    let eol: &[u8] = match header_eol(&bare, &header) {
        Some(eol) => eol,
        None => file_eol(&bare),
    };
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

fn header_eol(text: &[u8], header: &Range<usize>) -> Option<&'static [u8]> {
    match &text[header.clone()] {
        line if line.ends_with(b"\r\n") => Some(b"\r\n"),
        line if line.ends_with(b"\n") => Some(b"\n"),
        _ => None,
    }
}

fn file_eol(text: &[u8]) -> &'static [u8] {
    if lines(text).next().is_some_and(|line| text[line].ends_with(b"\r\n")) { b"\r\n" } else { b"\n" }
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
