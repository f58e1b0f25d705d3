//! The REST routes in use. One text is both the template that metrics name a call by and what its URL is made from.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use pipeline::event::Repository;
use url::Url;

/// All but the unreserved characters: `~` of personal projects stays, `+` of reactions does not.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The same for a path, whose parts stay parts.
const PATH: &AsciiSet = &SEGMENT.remove(b'/');

/// A route's template, below the base URL. `{name}` is one segment, `{name*}` a path of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route(&'static str);

macro_rules! repository_route {
    ($rest:literal) => {
        Route(concat!(
            "/rest/api/latest/projects/{project}/repos/{repository}",
            $rest
        ))
    };
}

pub(crate) const APPLICATION_PROPERTIES: Route = Route("/rest/api/latest/application-properties");
pub(crate) const USERS: Route = Route("/rest/api/latest/users");
pub(crate) const REPOSITORIES: Route = Route("/rest/api/latest/repos");
pub(crate) const BRANCHES: Route = repository_route!("/branches");
pub(crate) const PULL_REQUEST: Route = repository_route!("/pull-requests/{pull_request}");
pub(crate) const PULL_REQUESTS: Route = repository_route!("/pull-requests");
pub(crate) const BUILDS: Route = repository_route!("/commits/{commit}/builds");
pub(crate) const ACTIVITIES: Route = repository_route!("/pull-requests/{pull_request}/activities");
pub(crate) const CHANGES: Route = repository_route!("/pull-requests/{pull_request}/changes");
pub(crate) const DIFF: Route = repository_route!("/pull-requests/{pull_request}.diff");
pub(crate) const RAW: Route = repository_route!("/raw/{path*}");
pub(crate) const REPOSITORY_DIFF: Route = repository_route!("/diff");
pub(crate) const COMMENTS: Route = repository_route!("/pull-requests/{pull_request}/comments");
pub(crate) const COMMENT: Route = repository_route!("/pull-requests/{pull_request}/comments/{comment}");
pub(crate) const REACTION: Route = Route(
    "/rest/comment-likes/latest/projects/{project}/repos/{repository}/pull-requests/{pull_request}/comments/{comment}/reactions/{emoticon}",
);
pub(crate) const BUILD_STATUSES: Route = Route("/rest/build-status/latest/commits/{commit}");

impl Route {
    /// The template, as a metric's label.
    pub(crate) fn template(self) -> &'static str {
        self.0
    }

    /// The URL with each `{part}` replaced by the next value, percent-encoded.
    pub(crate) fn url(self, base: &str, values: &[&str], query: &[(&str, &str)]) -> Url {
        let mut text = base.to_owned();
        let mut values = values.iter();
        for piece in self.0.split('{') {
            match piece.split_once('}') {
                None => text.push_str(piece),
                Some((name, rest)) => {
                    let value = values.next().expect("a value for each part of the template");
                    let kept = if name.ends_with('*') { PATH } else { SEGMENT };
                    text.extend(utf8_percent_encode(value, kept));
                    text.push_str(rest);
                }
            }
        }
        let mut url = Url::parse(&text).expect("a base URL with encoded segments is a URL");
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

/// Project and slug as the first two values of a repository's route.
pub(crate) fn of(repository: &Repository) -> [&str; 2] {
    [repository.project.as_str(), repository.slug.as_str()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_path_stays_and_values_are_encoded() {
        let base = "https://host:7990/bitbucket";
        for (route, values, expected) in [
            (
                PULL_REQUEST,
                &["~JCITIZEN", "s", "7"][..],
                "/projects/~JCITIZEN/repos/s/pull-requests/7",
            ),
            (
                DIFF,
                &["P", "a b", "7"][..],
                "/projects/P/repos/a%20b/pull-requests/7.diff",
            ),
            (
                DIFF,
                &["P", "jane@example", "7"][..],
                "/projects/P/repos/jane%40example/pull-requests/7.diff",
            ),
            (
                DIFF,
                &["P", "a/../b", "7"][..],
                "/projects/P/repos/a%2F..%2Fb/pull-requests/7.diff",
            ),
        ]
        .into_iter()
        .chain([(
            RAW,
            &["P", "s", ".openhands/a b.toml"][..],
            "/projects/P/repos/s/raw/.openhands/a%20b.toml",
        )]) {
            let url = route.url(base, values, &[]);
            assert_eq!(url.as_str(), format!("{base}/rest/api/latest{expected}"));
        }
        let reaction = REACTION.url(base, &["P", "s", "7", "1", "+1"], &[]);
        assert!(reaction.path().ends_with("/reactions/%2B1"), "{reaction}");
    }

    #[test]
    fn a_query_is_encoded() {
        let url = USERS.url(
            "https://host",
            &[],
            &[("filter", "a&b=c d"), ("permission.1.projectKey", "~X")],
        );
        assert_eq!(
            url.query(),
            Some("filter=a%26b%3Dc+d&permission.1.projectKey=%7EX")
        );
    }
}
