//! Code insight reports and annotations (bitbucket-dc.md 3.9).

use serde_json::{Map, Value};

use crate::http::answer::{Answer, Reply, RestError};
use crate::http::call::Call;
use crate::http::paging::LIMIT_MAX;
use crate::json::{Json, object};
use crate::state::insight::Report;
use crate::state::permission::Level;
use crate::state::world::World;

const TITLE_CHARS_MAX: usize = 450;
const DETAILS_CHARS_MAX: usize = 2000;
const FIELDS_MAX: usize = 6;
const MESSAGE_CHARS_MAX: usize = 2000;
/// Default of the instance; more in one report refuse the whole request.
const ANNOTATIONS_MAX: usize = 1000;

type Fields = Map<String, Value>;

fn chars(fields: &Fields, key: &str) -> usize {
    fields
        .get(key)
        .and_then(Value::as_str)
        .map_or(0, |text| text.chars().count())
}

fn one_of(fields: &Fields, key: &str, known: &[&str]) -> bool {
    fields
        .get(key)
        .and_then(Value::as_str)
        .is_some_and(|value| known.contains(&value))
}

fn check_report(fields: &Fields) -> Result<(), RestError> {
    let title = chars(fields, "title");
    if title == 0 || title > TITLE_CHARS_MAX || chars(fields, "reporter") > TITLE_CHARS_MAX {
        return Err(RestError::invalid(
            "title",
            "title (required) and reporter have at most 450 characters",
        ));
    }
    if fields.contains_key("result") && !one_of(fields, "result", &["PASS", "FAIL"]) {
        return Err(RestError::invalid("result", "result is PASS or FAIL"));
    }
    if chars(fields, "details") > DETAILS_CHARS_MAX {
        return Err(RestError::invalid(
            "details",
            "details have at most 2000 characters",
        ));
    }
    if fields
        .get("data")
        .and_then(Value::as_array)
        .is_some_and(|data| data.len() > FIELDS_MAX)
    {
        return Err(RestError::invalid("data", "a report has at most 6 fields"));
    }
    Ok(())
}

fn check_annotation(fields: &Fields) -> Result<(), RestError> {
    let message = chars(fields, "message");
    if message == 0 || message > MESSAGE_CHARS_MAX {
        return Err(RestError::invalid(
            "message",
            "message is required, at most 2000 characters",
        ));
    }
    if !one_of(fields, "severity", &["LOW", "MEDIUM", "HIGH"]) {
        return Err(RestError::invalid("severity", "severity is LOW, MEDIUM or HIGH"));
    }
    if fields.contains_key("type") && !one_of(fields, "type", &["VULNERABILITY", "CODE_SMELL", "BUG"]) {
        return Err(RestError::invalid(
            "type",
            "type is VULNERABILITY, CODE_SMELL or BUG",
        ));
    }
    Ok(())
}

fn entity(report: &Report) -> Json {
    let fields = report
        .fields
        .iter()
        .map(|(key, value)| (key.clone(), Json::from(value.clone())))
        .collect();
    Json::Object(fields)
        .with("key", &report.key)
        .with("createdDate", Json::Time(report.created))
}

fn reports<'w>(call: &Call, world: &'w World) -> Result<impl Iterator<Item = &'w Report>, RestError> {
    let id = call.repository(world, Level::Read)?;
    let commit = call.param("commit").to_owned();
    Ok(world
        .repository(id)?
        .reports
        .iter()
        .filter(move |report| report.commit == commit))
}

fn report<'w>(call: &Call, world: &'w World) -> Result<&'w Report, RestError> {
    let key = call.param("report");
    let missing = || {
        RestError::not_found(
            "insights.NoSuchInsightReportException",
            format!("There is no report {key}."),
        )
    };
    reports(call, world)?
        .find(|report| report.key == key)
        .ok_or_else(missing)
}

fn change(call: &Call, need: Level, change: impl FnOnce(&mut Report)) -> Result<(), RestError> {
    let mut world = call.app.change();
    report(call, &world)?;
    let id = call.repository(&world, need)?;
    let (commit, key) = (call.param("commit"), call.param("report"));
    let found = world
        .repository_mut(id)?
        .reports
        .iter_mut()
        .find(|r| r.commit == commit && r.key == key);
    if let Some(found) = found {
        change(found);
    }
    Ok(())
}

/// `GET …/reports`
pub(crate) async fn list(call: Call) -> Reply {
    let world = call.app.world();
    let found = reports(&call, &world)?.map(entity).collect();
    Ok(Answer::ok(call.page(LIMIT_MAX).cut(found)))
}

/// `GET …/reports/{key}`
pub(crate) async fn get(call: Call) -> Reply {
    let world = call.app.world();
    Ok(Answer::ok(entity(report(&call, &world)?)))
}

/// `PUT …/reports/{key}`: only its creator replaces one; its annotations stay.
pub(crate) async fn set(call: Call) -> Reply {
    let fields: Fields = call.json()?;
    check_report(&fields)?;
    let mut world = call.app.change();
    let id = call.repository(&world, Level::Read)?;
    let creator = call.caller()?.user;
    let (commit, key) = (call.param("commit").to_owned(), call.param("report").to_owned());
    let now = call.app.now();
    let list = &mut world.repository_mut(id)?.reports;
    let answer = match list
        .iter_mut()
        .find(|report| report.commit == commit && report.key == key)
    {
        Some(known) if known.creator != creator => return Err(RestError::not_permitted()),
        Some(known) => {
            known.fields = fields;
            entity(known)
        }
        None => {
            let new = Report {
                commit,
                key,
                creator,
                created: now,
                fields,
                annotations: Vec::new(),
            };
            let answer = entity(&new);
            list.push(new);
            answer
        }
    };
    Ok(Answer::ok(answer))
}

/// `DELETE …/reports/{key}`
pub(crate) async fn delete(call: Call) -> Reply {
    let mut world = call.app.change();
    let id = call.repository(&world, Level::Read)?;
    let (commit, key) = (call.param("commit"), call.param("report"));
    world
        .repository_mut(id)?
        .reports
        .retain(|report| report.commit != commit || report.key != key);
    Ok(Answer::no_content())
}

fn annotation_list<'r>(reports: impl Iterator<Item = &'r Report>) -> Json {
    let of = |report: &'r Report| {
        report
            .annotations
            .iter()
            .map(|annotation| Json::from(Value::Object(annotation.clone())).with("reportKey", &report.key))
    };
    let all: Vec<Json> = reports.flat_map(of).collect();
    object! { "totalCount": all.len(), "annotations": all }
}

/// `GET …/annotations`: of all reports on the commit.
pub(crate) async fn all_annotations(call: Call) -> Reply {
    let world = call.app.world();
    Ok(Answer::ok(annotation_list(reports(&call, &world)?)))
}

/// `GET …/reports/{key}/annotations`
pub(crate) async fn annotations(call: Call) -> Reply {
    let world = call.app.world();
    Ok(Answer::ok(annotation_list(std::iter::once(report(
        &call, &world,
    )?))))
}

/// `POST …/reports/{key}/annotations`: added, never merged with earlier ones.
pub(crate) async fn annotate(call: Call) -> Reply {
    #[derive(serde::Deserialize)]
    struct Body {
        annotations: Vec<Fields>,
    }
    let body: Body = call.json()?;
    body.annotations.iter().try_for_each(check_annotation)?;
    let present = report(&call, &call.app.world())?.annotations.len();
    if present + body.annotations.len() > ANNOTATIONS_MAX {
        return Err(RestError::invalid(
            "annotations",
            "a report has at most 1000 annotations",
        ));
    }
    change(&call, Level::Read, |report| {
        report.annotations.extend(body.annotations);
    })?;
    Ok(Answer::no_content())
}

/// `DELETE …/reports/{key}/annotations?externalId=`
pub(crate) async fn clear_annotations(call: Call) -> Reply {
    let ids: Vec<String> = call.query.all("externalId").map(str::to_owned).collect();
    let named = |annotation: &Fields| {
        annotation
            .get("externalId")
            .and_then(Value::as_str)
            .is_some_and(|id| ids.iter().any(|wanted| wanted == id))
    };
    change(&call, Level::Read, |report| {
        report.annotations.retain(|one| !ids.is_empty() && !named(one));
    })?;
    Ok(Answer::no_content())
}
