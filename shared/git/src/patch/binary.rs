//! git's binary patch: both contents, deflated, in base 85.

use std::io::Write as _;

use crate::error::Error;

/// git's alphabet.
const ALPHABET: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";
/// Bytes on one line.
const LINE_BYTES: usize = 52;

/// Appends `GIT binary patch` with the new content and, to go back, the old one.
pub(super) fn write(text: &mut Vec<u8>, old: &[u8], new: &[u8]) -> Result<(), Error> {
    text.extend_from_slice(b"GIT binary patch\n");
    for content in [new, old] {
        text.extend_from_slice(format!("literal {}\n", content.len()).as_bytes());
        for line in deflate(content)?.chunks(LINE_BYTES) {
            text.push(length_letter(line.len()));
            encode(text, line);
            text.push(b'\n');
        }
        text.push(b'\n');
    }
    Ok(())
}

fn deflate(content: &[u8]) -> Result<Vec<u8>, Error> {
    let what = "deflating a binary patch";
    let mut writer = gix::zlib::stream::deflate::Write::new(Vec::new(), gix::zlib::Compression::default());
    writer.write_all(content).map_err(Error::io(what))?;
    writer.flush().map_err(Error::io(what))?;
    Ok(writer.into_inner())
}

/// `A` to `Z` for 1 to 26, `a` to `z` for 27 to 52.
fn length_letter(length: usize) -> u8 {
    let length = u8::try_from(length).expect("a line has at most 52 bytes");
    if length <= 26 {
        b'A' + length - 1
    } else {
        b'a' + length - 27
    }
}

/// Four bytes, the last padded with zeros, become five characters.
fn encode(text: &mut Vec<u8>, line: &[u8]) {
    for group in line.chunks(4) {
        let mut bytes = [0; 4];
        bytes[..group.len()].copy_from_slice(group);
        let mut value = u32::from_be_bytes(bytes);
        let mut characters = [0; 5];
        for character in characters.iter_mut().rev() {
            *character = ALPHABET[(value % 85) as usize];
            value /= 85;
        }
        text.extend_from_slice(&characters);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_85_is_gits() {
        // From git's own test of its encoder: the extremes of a group.
        let mut text = Vec::new();
        encode(&mut text, &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(text, b"00000|NsC0");
        assert_eq!([1, 26, 27, 52].map(length_letter), *b"AZaz");
    }
}
