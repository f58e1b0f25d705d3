//! What must be there before a role starts.

use std::os::unix::fs::PermissionsExt;

use config::{Config, Role};

use crate::Place;

/// A configuration with every secret file in place.
fn complete(place: &Place, base_url: &str, rest: &str) -> Config {
    let file = |name: &str, text: &str| {
        let path = place.write(name, text);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
            .expect("the file was just written");
        path.display().to_string()
    };
    let text = format!(
        "data_dir = \"/d\"\n[[connection]]\nid = \"main\"\nbase_url = {base_url:?}\nallow_http = true\n\
         bot_token_file = {:?}\nwebhook_secret_files = [{:?}, {:?}]\nrepositories = [\"P/*\"]\n\
         [llm]\nbase_url = \"http://127.0.0.1:1/v1\"\napi_key_file = {:?}\nheaders_file = {:?}\n\
         [[model]]\nalias = \"default\"\nmodel = \"m\"\n{rest}\n",
        file("token", "t0ken\n"),
        file("hook", "current\n"),
        file("hook-old", "old"),
        file("key", "k3y"),
        file("headers", "# gateway\nX-Team: tools\n\n"),
    );
    place.load(&text, &[]).expect("the configuration is right")
}

fn verdicts(place: &Place, config: &Config) -> String {
    let one = |role: Role| match config.check_role(role) {
        Ok(warnings) if warnings.is_empty() => format!("{role}: ready\n"),
        Ok(warnings) => format!("{role}: warned\n  {}\n", warnings.join("\n  ")),
        Err(problems) => format!("{role}: {problems}\n"),
    };
    place.shown(Role::ALL.into_iter().map(one).collect::<String>())
}

#[test]
fn on_loopback_with_everything_in_place_every_role_starts() {
    let place = Place::new();
    insta::assert_snapshot!(verdicts(&place, &complete(&place, "http://127.0.0.1:7990", "")));
}

#[test]
fn agents_are_confined_unless_it_is_written_out_that_they_are_not() {
    let place = Place::new();
    let real = "https://bitbucket.example.com";
    assert!(!complete(&place, real, "").unsandboxed());
    insta::assert_snapshot!(
        "sandboxed_by_default",
        verdicts(&place, &complete(&place, real, ""))
    );
    insta::assert_snapshot!(
        "unsandboxed_written_out",
        verdicts(&place, &complete(&place, real, "[sandbox]\nmode = \"off\""))
    );
}

#[test]
fn what_agents_may_read_holds_no_secret() {
    let place = Place::new();
    let open = place.file("toolchain");
    std::fs::create_dir(&open).unwrap();
    let link = place.file("link");
    std::os::unix::fs::symlink(place.directory.path(), &link).unwrap();
    let wrong = |key: &str, paths: &[&std::path::Path]| {
        let section = format!("[{key}]\nread_paths = {paths:?}");
        let config = complete(&place, "http://127.0.0.1:7990", &section);
        config.check_role(Role::Resolver)
    };
    assert!(wrong("sandbox", &[&open]).is_ok_and(|warnings| warnings.is_empty()));
    let missing = place.file("missing");
    assert!(wrong("agent", &[&missing]).is_ok_and(|warnings| warnings[0].contains("there is no")));
    for (key, path) in [
        ("sandbox", std::path::Path::new("/")),
        ("agent", std::path::Path::new("/")),
        ("sandbox", place.directory.path()),
        ("agent", &link),
        ("sandbox", &place.file("toolchain/..")),
        ("agent", &place.file("token")),
        ("sandbox", std::path::Path::new("/d/work")),
    ] {
        let problems = wrong(key, &[path]).unwrap_err();
        let [problem] = problems.all() else {
            panic!("{problems}")
        };
        assert_eq!(problem.place, format!("{key}.read_paths"), "{path:?}: {problems}");
        assert!(problem.text.contains("agents must not read"), "{problems}");
    }
}

#[test]
fn each_role_misses_its_own_secrets_and_no_others() {
    let place = Place::new();
    let config = complete(&place, "http://127.0.0.1:7990", "");
    std::fs::remove_file(place.file("token")).unwrap();
    place.write("hook-old", " \n");
    place.write("hook", "two\nlines");
    place.write("key", "");
    place.write("headers", "no colon hunter2");
    let shown = verdicts(&place, &config);
    assert!(!shown.contains("hunter2"));
    insta::assert_snapshot!(shown);
}

#[test]
fn world_readable_secrets_and_plain_http_are_warnings() {
    let place = Place::new();
    let config = complete(
        &place,
        "http://bitbucket.example.com",
        "[sandbox]\nmode = \"off\"",
    );
    for name in ["token", "hook", "key", "headers"] {
        std::fs::set_permissions(place.file(name), std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    insta::assert_snapshot!(verdicts(&place, &config));
}

#[test]
fn a_connection_without_webhook_secret_takes_no_deliveries() {
    let text = "data_dir = \"/d\"\n[[connection]]\nid = \"main\"\nbase_url = \"http://localhost:1\"\n\
                bot_token_file = \"/t\"\nrepositories = [\"P/*\"]\n";
    let config = Place::new().load(text, &[]).unwrap();
    let problems = config.check_role(Role::WebhookIngest).unwrap_err().to_string();
    assert!(
        problems.contains("connection[0].webhook_secret_files: is required"),
        "{problems}"
    );
    assert!(config.check_role(Role::MentionParser).is_ok());
}

#[test]
fn a_role_of_its_own_needs_a_nats_url_and_is_told_so_with_all_else_it_lacks() {
    let place = Place::new();
    let config = complete(&place, "http://127.0.0.1:7990", "");
    std::fs::remove_file(place.file("token")).unwrap();
    let problems = config.check_role_alone(Role::Reply).unwrap_err();
    let places: Vec<&str> = problems
        .all()
        .iter()
        .map(|problem| problem.place.as_str())
        .collect();
    assert_eq!(places, ["nats.url", "connection[0].bot_token_file"]);
    let with_url = complete(
        &place,
        "http://127.0.0.1:7990",
        "[nats]\nurl = \"nats://127.0.0.1:4222\"",
    );
    assert!(with_url.check_role_alone(Role::Reply).is_ok());
}

#[test]
fn what_several_roles_lack_is_listed_once() {
    let place = Place::new();
    let config = complete(&place, "http://127.0.0.1:7990", "");
    for name in ["token", "hook"] {
        std::fs::remove_file(place.file(name)).unwrap();
    }
    let all = Role::ALL
        .into_iter()
        .filter_map(|role| config.check_role(role).err())
        .reduce(config::Problems::and)
        .unwrap();
    let places: Vec<&str> = all.all().iter().map(|problem| problem.place.as_str()).collect();
    assert_eq!(
        places,
        [
            "connection[0].webhook_secret_files[0]",
            "connection[0].bot_token_file"
        ]
    );
}

#[test]
fn models_are_chosen_from_in_the_files_order() {
    let place = Place::new();
    let second = "[[model]]\nalias = \"second\"\nmodel = \"n\"\ntakes_effort = true";
    let config = complete(&place, "http://127.0.0.1:7990", second);
    assert_eq!(config.check_role(Role::Resolver).unwrap(), Vec::<String>::new());
    let models: Vec<_> = config
        .models
        .iter()
        .map(|model| (model.alias.as_str(), model.takes_effort))
        .collect();
    assert_eq!(models.last(), Some(&("second", true)));
    assert_eq!(models.len(), 2);
}

#[test]
fn every_kind_of_agent_and_endpoint_can_be_configured() {
    let place = Place::new();
    for (agent, llm) in [
        ("kind = \"acp\"\npreset = \"opencode\"", ""),
        (
            "kind = \"command\"\ncommand = [\"mine\", \"{prompt_file}\"]",
            "api = \"responses\"",
        ),
        ("kind = \"builtin\"", "provider = \"anthropic\""),
    ] {
        let text = format!(
            "data_dir = \"/d\"\n[[connection]]\nid = \"main\"\nbase_url = \"http://localhost:1\"\n\
             bot_token_file = {:?}\nrepositories = [\"P/*\"]\n[llm]\nbase_url = \"http://127.0.0.1:1/v1\"\n{llm}\n\
             [[model]]\nalias = \"default\"\nmodel = \"m\"\n[agent]\n{agent}\n",
            place.write("token", "t0ken\n").display().to_string(),
        );
        place
            .load(&text, &[])
            .unwrap()
            .check_role(Role::Resolver)
            .unwrap();
    }
}

#[test]
fn money_is_counted_where_a_model_has_a_price() {
    let place = Place::new();
    let model = |prices: &str| {
        let config = complete(&place, "http://127.0.0.1:7990", prices);
        config.models[0].clone()
    };
    assert!(!model("").has_prices());
    let priced = model("price_in = 2.5\nprice_out = 10");
    assert!(priced.has_prices());
    assert_eq!(
        priced.price_cached_in.to_bits(),
        2.5_f64.to_bits(),
        "as dear as any other"
    );
    let cached = model("price_in = 2.5\nprice_cached_in = 0.25");
    assert_eq!(cached.price_cached_in.to_bits(), 0.25_f64.to_bits());
}

#[test]
fn role_names_are_read_as_they_are_written() {
    for role in Role::ALL {
        assert_eq!(role.as_str().parse(), Ok(role));
    }
    assert_eq!(
        "everything".parse::<Role>().unwrap_err().to_string(),
        "\"everything\" is not a role"
    );
}

#[test]
fn a_tls_certificate_and_its_key_are_read_before_the_listener_starts() {
    let place = Place::new();
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (signed.cert.pem(), signed.signing_key.serialize_pem());
    let with = |cert: &str, key: &str| {
        let files = format!(
            "[ingest]\ntls_cert_file = '{}'\ntls_key_file = '{}'",
            place.write("tls.crt", cert).display(),
            place.write("tls.key", key).display()
        );
        complete(&place, "http://127.0.0.1:7990", &files)
    };
    let right = with(&cert, &key);
    assert!(
        right
            .ingest
            .tls_pem()
            .unwrap()
            .is_some_and(|pem| !format!("{pem:?}").contains("PRIVATE"))
    );
    assert!(right.check_role(Role::WebhookIngest).is_ok());
    for (cert, key, missing) in [
        (&key, &key, "tls.crt does not hold a PEM certificate"),
        (&cert, &cert, "tls.key does not hold a PEM private key"),
    ] {
        let problems = with(cert, key)
            .check_role(Role::WebhookIngest)
            .unwrap_err()
            .to_string();
        assert!(problems.contains(missing), "{problems}");
    }
}
