//! Who moved a pull request's source branch, from its activities of kind RESCOPED (bitbucket-dc.md 3.6).

use std::ops::ControlFlow;

use pipeline::event::{Person, Repository};
use pipeline::ids::{CommitId, PullRequestId};
use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::reading;
use crate::route;

/// Activities that are looked at, one page: what moved the branch a moment ago is among the newest.
const ACTIVITIES_LOOKED_AT: u32 = 50;

impl Client {
    /// Who moved the source branch from one commit to another, whoever did so last first, each person once. Empty where
    /// Bitbucket does not tell, or not yet: it notes a push after it has answered it.
    pub async fn movers(
        &self,
        repository: &Repository,
        pull_request: PullRequestId,
        (from, to): (&CommitId, &CommitId),
    ) -> Result<Vec<Person>, Error> {
        let [project, slug] = route::of(repository);
        let values = [project, slug, &pull_request.to_string()];
        let mut movers = Vec::new();
        self.pages(
            route::ACTIVITIES,
            &values,
            &[],
            ACTIVITIES_LOOKED_AT,
            |activities| {
                movers = who(activities, from, to);
                Ok(ControlFlow::Break(()))
            },
        )
        .await?;
        Ok(movers)
    }
}

/// Follows the moves back from where the branch is to where it was. The newest activity is the first.
fn who(activities: &[Value], from: &CommitId, to: &CommitId) -> Vec<Person> {
    let mut movers: Vec<Person> = Vec::new();
    let mut reached = to.clone();
    for activity in activities {
        if reached == *from {
            break;
        }
        if reading::optional_text(activity, "action").as_deref() != Some("RESCOPED") {
            continue;
        }
        let now = reading::commit(activity, "fromHash");
        // Where only the target branch moved, the source branch stayed.
        let Some(before) = reading::commit(activity, "previousFromHash").filter(|before| *before != reached)
        else {
            continue;
        };
        if now.as_ref() != Some(&reached) {
            continue;
        }
        if let Some(person) = activity.get("user").and_then(reading::person)
            && !movers.contains(&person)
        {
            movers.push(person);
        }
        reached = before;
    }
    movers
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn commit(letter: &str) -> CommitId {
        CommitId::new(letter.repeat(40)).unwrap()
    }

    fn move_by(name: &str, from: &str, to: &str) -> Value {
        json!({"action": "RESCOPED", "user": {"name": name}, "fromHash": to.repeat(40), "previousFromHash": from.repeat(40)})
    }

    fn names(activities: &[Value], from: &str, to: &str) -> Vec<String> {
        let movers = who(activities, &commit(from), &commit(to));
        movers.into_iter().map(|person| person.name).collect()
    }

    #[test]
    fn everybody_who_moved_the_branch_is_found_and_nobody_else() {
        let activities = [
            move_by("carol", "d", "d"),
            json!({"action": "COMMENTED", "user": {"name": "dave"}}),
            move_by("bob", "c", "d"),
            move_by("alice", "b", "c"),
            move_by("bob", "a", "b"),
            move_by("erin", "9", "a"),
        ];
        assert_eq!(names(&activities, "a", "d"), ["bob", "alice"]);
        assert_eq!(names(&activities, "c", "d"), ["bob"]);
        assert_eq!(names(&activities, "d", "d"), [""; 0]);
        assert_eq!(
            names(&activities, "a", "e"),
            [""; 0],
            "a push that is not noted yet"
        );
    }

    #[test]
    fn the_activity_that_bitbucket_documents_names_its_user() {
        let page: Value =
            serde_json::from_str(include_str!("../fixtures/rest_activities_page.json")).unwrap();
        let activities = reading::list(&page, "values");
        let rescoped = activities
            .iter()
            .find(|activity| activity["action"] == "RESCOPED")
            .unwrap();
        let from = reading::commit(rescoped, "previousFromHash").unwrap();
        let to = reading::commit(rescoped, "fromHash").unwrap();
        assert_eq!(who(activities, &from, &to)[0].name, "jcitizen");
    }

    #[test]
    fn a_deleted_user_is_nobody() {
        let mut moved = move_by("bob", "a", "b");
        moved["user"] = Value::Null;
        assert_eq!(names(&[moved], "a", "b"), [""; 0]);
    }
}
