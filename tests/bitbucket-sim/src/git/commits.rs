//! Reading commits.

use std::path::Path;

use super::command::git;

/// A commit as the REST API shows it; times in epoch milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) id: String,
    pub(crate) parents: Vec<String>,
    pub(crate) author: Signature,
    pub(crate) committer: Signature,
    pub(crate) message: String,
}

/// Name, e-mail and time of an author or committer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) at: i64,
}

/// Fields end with a unit separator, commits with NUL: neither can be in a name or message.
const FORMAT: &str = "--format=%H%x1f%P%x1f%an%x1f%ae%x1f%at%x1f%cn%x1f%ce%x1f%ct%x1f%B%x00";

/// The commits `git log` selects by `arguments`, newest first.
pub(crate) async fn log(dir: &Path, arguments: &[&str]) -> anyhow::Result<Vec<Commit>> {
    let mut args = vec!["log", FORMAT];
    args.extend_from_slice(arguments);
    args.push("--");
    let output = git(dir, &args).await?;
    let text = String::from_utf8_lossy(&output);
    Ok(text
        .split('\0')
        .filter_map(|record| parse(record.trim_start_matches('\n')))
        .collect())
}

fn parse(record: &str) -> Option<Commit> {
    let mut fields = record.splitn(9, '\x1f');
    let id = fields.next().filter(|id| !id.is_empty())?.to_owned();
    let parents = fields.next()?.split_whitespace().map(str::to_owned).collect();
    let mut signature = || {
        let (name, email) = (fields.next()?.to_owned(), fields.next()?.to_owned());
        let at = fields.next()?.parse::<i64>().ok()? * 1000;
        Some(Signature { name, email, at })
    };
    let (author, committer) = (signature()?, signature()?);
    let message = fields.next()?.trim_end_matches('\n').to_owned();
    Some(Commit {
        id,
        parents,
        author,
        committer,
        message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_record_becomes_a_commit_with_milliseconds() {
        let commit = parse("aa\x1fbb cc\x1fA\x1fa@x\x1f10\x1fC\x1fc@x\x1f20\x1fSubject\n\nBody\n").unwrap();
        assert_eq!(commit.parents, ["bb", "cc"]);
        assert_eq!((commit.author.at, commit.committer.at), (10_000, 20_000));
        assert_eq!(commit.message, "Subject\n\nBody");
        assert!(parse("").is_none());
    }
}
