//! `.gitmodules`: where git clones from for everybody who works on the repository. An agent may tidy it up; it may
//! neither add a submodule nor lead one elsewhere.

use std::collections::BTreeMap;

use gix::bstr::{BString, ByteSlice};

/// What says from where and how a submodule is filled. `update` may be a command.
const DECISIVE: [&str; 3] = ["path", "url", "update"];

/// Says why the new `.gitmodules` may not be taken, if so. `old`: nothing where there was none.
pub(super) fn check(old: Option<&[u8]>, new: Option<&[u8]>) -> Result<(), &'static str> {
    let old = match old {
        Some(old) => submodules(old).unwrap_or_default(),
        None => BTreeMap::new(),
    };
    let Some(new) = new else {
        return if old.is_empty() {
            Ok(())
        } else {
            Err("the repository has submodules that need it")
        };
    };
    let new = submodules(new).ok_or("it is no configuration that git can read")?;
    for (name, values) in &new {
        match old.get(name) {
            None => return Err("it adds a submodule"),
            Some(before) if before != values => return Err("it leads a submodule elsewhere"),
            Some(_) => {}
        }
    }
    Ok(())
}

/// The decisive values of each submodule, all of them where a name or a value is there twice.
fn submodules(text: &[u8]) -> Option<BTreeMap<BString, Vec<BString>>> {
    let file = gix::config::File::try_from(text.as_bstr()).ok()?;
    let mut found: BTreeMap<BString, Vec<BString>> = BTreeMap::new();
    for section in file.sections() {
        let header = section.header();
        let name = header.name();
        if !name.eq_ignore_ascii_case(b"submodule") {
            // `include` would be read by nobody, and nothing else belongs here.
            return None;
        }
        let values = found
            .entry(header.subsection_name().unwrap_or_default().to_owned())
            .or_default();
        let body = section.body();
        for key in DECISIVE {
            values.extend(
                body.values(key)
                    .into_iter()
                    .map(|value| BString::from(format!("{key}={value}"))),
            );
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "[submodule \"lib\"]\n\tpath = lib\n\turl = https://example.test/lib.git\n";

    #[test]
    fn an_edit_that_leads_nowhere_else_is_taken() {
        for new in [
            ONE.to_owned(),
            format!("# The library\n{ONE}\tbranch = main\n\tshallow = true\n"),
            "[submodule \"lib\"]\n\turl = https://example.test/lib.git\n\tpath = lib".to_owned(),
            String::new(),
        ] {
            assert_eq!(check(Some(ONE.as_bytes()), Some(new.as_bytes())), Ok(()), "{new}");
        }
        assert_eq!(check(None, Some(b"# nothing yet\n")), Ok(()));
        assert_eq!(check(Some(b""), None), Ok(()));
    }

    #[test]
    fn nothing_is_added_or_led_elsewhere() {
        for new in [
            format!("{ONE}[submodule \"evil\"]\n\tpath = evil\n\turl = https://evil.example/x.git\n"),
            ONE.replace("https://example.test", "https://evil.example"),
            ONE.replace("path = lib", "path = src"),
            format!("{ONE}\tupdate = !touch MARKER\n"),
            format!("{ONE}[submodule \"lib\"]\n\turl = https://evil.example/x.git\n"),
            format!("{ONE}[SubModule \"lib\"]\n\turl = ../evil\n"),
            format!("{ONE}[include]\n\tpath = /etc/passwd\n"),
            "[submodule \"lib\"\n".to_owned(),
            "\u{0}\u{1}".to_owned(),
        ] {
            assert!(
                check(Some(ONE.as_bytes()), Some(new.as_bytes())).is_err(),
                "{new}"
            );
        }
        assert!(check(None, Some(ONE.as_bytes())).is_err());
        assert!(check(Some(ONE.as_bytes()), None).is_err());
    }
}
