//! What an agent offers to have set, and what we set.

use serde_json::{Value, json};

use crate::endpoint::Provider;

/// Modes in which agents ask for no permission, as they name them, the most certain first: claude-agent-acp,
/// codex-acp, openhands, gemini and qwen, vibe, goose.
const ALLOW_ALL: [&str; 6] = [
    "bypassPermissions",
    "agent-full-access",
    "always-approve",
    "yolo",
    "auto-approve",
    "auto",
];

/// Requests that put a new session into the mode that allows everything: method and parameters. None where the agent
/// knows no such mode, or is in it. The cell is what confines it, not its questions.
pub(super) fn allow_all(new_session: &Value, session: &str) -> Option<(&'static str, Value)> {
    let options = new_session["configOptions"].as_array().into_iter().flatten();
    for option in options.filter(|option| option["category"] == "mode" || option["id"] == "mode") {
        let values = choices(option);
        if let Some(value) = ALLOW_ALL.iter().find(|mode| values.contains(*mode)) {
            let params = json!({"sessionId": session, "configId": option["id"], "value": value});
            return (option["currentValue"] != **value).then_some(("session/set_config_option", params));
        }
    }
    let modes = &new_session["modes"];
    let known: Vec<_> = texts(&modes["availableModes"], "id").collect();
    let mode = ALLOW_ALL.iter().find(|mode| known.contains(*mode))?;
    let params = json!({"sessionId": session, "modeId": mode});
    (modes["currentModeId"] != **mode).then_some(("session/set_mode", params))
}

/// Selects `model` where the agent offers it by that name and has another one.
pub(super) fn choose_model(new_session: &Value, session: &str, model: &str) -> Option<(&'static str, Value)> {
    let mut options = new_session["configOptions"].as_array()?.iter();
    let option = options.find(|option| option["category"] == "model" || option["id"] == "model")?;
    let values = choices(option);
    // Some put the provider's name in front.
    let value = values
        .iter()
        .find(|value| **value == model || value.split_once('/').is_some_and(|(_, name)| name == model))?;
    let params = json!({"sessionId": session, "configId": option["id"], "value": value});
    (option["currentValue"] != **value).then_some(("session/set_config_option", params))
}

/// Points the first provider of the list that speaks our endpoint's language to the proxy.
pub(super) fn set_provider(list: &Value, provider: Provider, base_url: &str, key: &str) -> Option<Value> {
    let (api, base_url, headers) = match provider {
        Provider::OpenAi => (
            "openai",
            format!("{base_url}/v1"),
            json!({"Authorization": format!("Bearer {key}")}),
        ),
        Provider::Anthropic => ("anthropic", base_url.to_owned(), json!({"x-api-key": key})),
    };
    let mut providers = list["providers"].as_array()?.iter();
    let speaks = |provider: &&Value| {
        let mut supported = provider["supported"].as_array().into_iter().flatten();
        supported.any(|supported| supported == api)
    };
    let id = &providers.find(speaks)?["providerId"];
    Some(json!({"providerId": id, "apiType": api, "baseUrl": base_url, "headers": headers}))
}

/// The values of a select, grouped or not.
fn choices(option: &Value) -> Vec<&str> {
    let options = &option["options"];
    let groups = options.as_array().into_iter().flatten();
    let grouped = groups.flat_map(|group| texts(&group["options"], "value"));
    texts(options, "value").chain(grouped).collect()
}

fn texts<'a>(list: &'a Value, member: &'static str) -> impl Iterator<Item = &'a str> {
    let all = list.as_array().into_iter().flatten();
    all.filter_map(move |entry| entry[member].as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_that_asks_for_nothing_is_chosen_where_it_is_offered() {
        let modes = json!({"modes": {"currentModeId": "default", "availableModes": [{"id": "plan"}, {"id": "yolo"}]}});
        let set_mode = Some(("session/set_mode", json!({"sessionId": "s", "modeId": "yolo"})));
        assert_eq!(allow_all(&modes, "s"), set_mode);

        let option = json!({"configOptions": [{"id": "mode", "category": "mode", "currentValue": "default",
            "options": [{"name": "g", "options": [{"value": "bypassPermissions", "name": "x"}]}]}]});
        let params = json!({"sessionId": "s", "configId": "mode", "value": "bypassPermissions"});
        assert_eq!(
            allow_all(&option, "s"),
            Some(("session/set_config_option", params))
        );

        for nothing in [
            json!({}),
            json!({"modes": null, "configOptions": "x"}),
            json!({"modes": {"currentModeId": "yolo", "availableModes": [{"id": "yolo"}]}}),
            json!({"modes": {"currentModeId": "a", "availableModes": [{"id": "a"}, 7]}}),
        ] {
            assert_eq!(allow_all(&nothing, "s"), None, "{nothing}");
        }
    }

    #[test]
    fn a_model_is_chosen_by_its_name_with_or_without_provider() {
        let options = |values: &[&str]| {
            let values: Vec<_> = values.iter().map(|value| json!({"value": value})).collect();
            json!({"configOptions": [{"id": "model", "currentValue": "other", "options": values}]})
        };
        let chosen = |values: &[&str]| {
            choose_model(&options(values), "s", "m-1").map(|(_, params)| params["value"].clone())
        };
        assert_eq!(chosen(&["other", "m-1"]), Some(json!("m-1")));
        assert_eq!(chosen(&["other", "run/m-1"]), Some(json!("run/m-1")));
        assert_eq!(chosen(&["other", "m-10"]), None);
    }

    #[test]
    fn the_provider_that_speaks_our_language_is_pointed_to_the_proxy() {
        let list = json!({"providers": [
            {"providerId": "a", "supported": ["anthropic"]}, {"providerId": "b", "supported": ["x", "openai"]}]});
        let set = set_provider(&list, Provider::OpenAi, "http://127.0.0.1:1", "k").unwrap();
        assert_eq!(set["providerId"], "b");
        assert_eq!(set["baseUrl"], "http://127.0.0.1:1/v1");
        let set = set_provider(&list, Provider::Anthropic, "http://127.0.0.1:1", "k").unwrap();
        assert_eq!(
            (&set["providerId"], &set["headers"]["x-api-key"]),
            (&json!("a"), &json!("k"))
        );
        assert_eq!(
            set_provider(&json!({"providers": []}), Provider::OpenAi, "", ""),
            None
        );
    }
}
