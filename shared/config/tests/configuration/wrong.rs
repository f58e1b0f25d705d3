//! A table of wrong configurations; the snapshot holds what is printed for each.

use std::fmt::Write;

use crate::{MINIMAL, Place};

/// One connection's lines, to be varied.
fn connection(id: &str, base_url: &str, rest: &str) -> String {
    format!(
        "[[connection]]\nid = \"{id}\"\nbase_url = \"{base_url}\"\nbot_token_file = \"/t\"\n\
         webhook_secret_files = [\"/h\"]\n{rest}\n"
    )
}

fn with_connections(connections: &[String]) -> String {
    format!("data_dir = \"/d\"\n{}", connections.concat())
}

#[test]
fn every_wrong_configuration_is_refused_in_words() {
    let place = Place::new();
    let bitbucket = "https://bitbucket.example.com";
    let all = "repositories = [\"P/*\"]";
    let one = |base_url: &str, rest: &str| with_connections(&[connection("main", base_url, rest)]);
    let more = |text: &str| format!("{MINIMAL}\n{text}");
    let cases: Vec<(&str, String)> = vec![
        ("empty file", String::new()),
        ("not TOML", "data_dir = \n[ingest\nlisten = 'x'\n".to_owned()),
        ("a key twice", "data_dir = \"/a\"\ndata_dir = \"/b\"\n".to_owned()),
        (
            "unknown keys at every level",
            format!("dta_dir = \"x\"\n{MINIMAL}hook = 1\n[ingest]\nlisten_on = 1\n[web]\n"),
        ),
        (
            "wrong types everywhere",
            more(
                "[ingest]\nlisten = 8080\nbody_bytes_max = \"big\"\n[limits]\nrun_usd = \"5\"\nrun_turns = 1.5\n[mention]\nnames = \"openhands\"\nposition = true\n[sandbox]\nmode = \"maybe\"\n",
            ),
        ),
        (
            "sections that are none",
            "data_dir = \"/d\"\ningest = 3\nconnection = \"x\"\nmodel = [1]\n".to_owned(),
        ),
        (
            "out of range",
            more(
                "[ingest]\nbody_bytes_max = 5\n[nats]\nreplicas = 2\nack_wait_seconds = 0\nurl = \"nats://n\"\n[limits]\nrun_seconds = 0\nrun_tokens = -1\nrun_usd = -2\n[context]\nbytes_max = 10\n",
            ),
        ),
        ("a cluster without a server", more("[nats]\nreplicas = 3\n")),
        (
            "half of a pair",
            more("[ingest]\ntls_cert_file = \"/c\"\n[nats]\nkey_file = \"/k\"\n"),
        ),
        ("two schemes", one("https://https://bitbucket.example.com", all)),
        (
            "password in the URL",
            one("https://bot:hunter2@bitbucket.example.com", all),
        ),
        (
            "two schemes and a password",
            one("https://https://bot:hunter2@bitbucket.example.com", all),
        ),
        (
            "a password and no URL",
            one("https://bot:hunter2@bitbucket example.com", all),
        ),
        ("query in the URL", one("https://bitbucket.example.com/?a=b", all)),
        ("no http URL", one("ssh://bitbucket.example.com", all)),
        (
            "plain http beyond loopback",
            one("http://bitbucket.example.com", all),
        ),
        ("bad id", with_connections(&[connection("a b", bitbucket, all)])),
        ("no repositories", one(bitbucket, "repositories = []")),
        (
            "bad globs",
            one(bitbucket, "repositories = [\"P\", \"P/*\", \"P/[ab]\", \"\", 3]"),
        ),
        (
            "nothing required is there",
            with_connections(&["[[connection]]\n".to_owned()]),
        ),
        (
            "same id twice",
            with_connections(&[
                connection("main", bitbucket, all),
                connection("main", "https://b", all),
            ]),
        ),
        (
            "overlap on one Bitbucket",
            with_connections(&[
                connection(
                    "a",
                    "https://bitbucket.example.com/",
                    "repositories = [\"PROJ/*\", \"X/y\"]",
                ),
                connection("b", "https://x", "repositories = [\"PROJ/*\"]"),
                connection("c", "bitbucket.EXAMPLE.com:443", "repositories = [\"p*/web\"]"),
            ]),
        ),
        (
            "password of a proxy in the file",
            one(
                bitbucket,
                "repositories = [\"P/*\"]\nproxy = \"http://u:hunter2@p:1\"",
            ),
        ),
        (
            "missing CA file",
            one(bitbucket, "repositories = [\"P/*\"]\nca_file = \"/no/such.pem\""),
        ),
        (
            "commit identity that git refuses",
            one(bitbucket, "repositories = [\"P/*\"]\ncommit_name = \"a <b>\""),
        ),
        (
            "mention and permission of a connection",
            one(
                bitbucket,
                "repositories = [\"P/*\"]\n[connection.mention]\nnames = [\"@bot\"]\n[connection.permission]\nchange = \"WRITE\"",
            ),
        ),
        ("nobody to mention", more("[mention]\nnames = []\n")),
        ("an agent that is not said", more("[agent]\nkind = \"acp\"\n")),
        (
            "a preset for the built-in agent",
            more("[agent]\npreset = \"goose\"\n"),
        ),
        (
            "models",
            more(
                "[[model]]\nalias = \"a\"\n[[model]]\nalias = \"b\"\nmodel = \"m\"\nprice_in = -1\n[[model]]\nalias = \"b\"\nmodel = \"n\"\n",
            ),
        ),
        (
            "URLs elsewhere",
            more(
                "[ingest]\npublic_url = \"resolver.example.com\"\n[nats]\nurl = \"http://n\"\n[llm]\nbase_url = \"https://https://llm\"\n[telemetry]\notlp_endpoint = \"collector\"\nlog = \"xml\"\n",
            ),
        ),
    ];
    let mut shown = String::new();
    for (name, text) in cases {
        let problems = place.load(&text, &[]).expect_err(name).to_string();
        assert!(!problems.contains("hunter2"), "{name} shows a password");
        writeln!(shown, "# {name}\n{}\n", place.shown(problems)).unwrap();
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn a_missing_configuration_file_is_a_problem() {
    let place = Place::new();
    let problems = config::load_with(&place.file("none.toml"), []).unwrap_err();
    insta::assert_snapshot!(place.shown(problems), @"
    the configuration has 1 problem:
      [dir]/none.toml: cannot be read: No such file or directory (os error 2)
    ");
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_accepted() {
    let text = format!("\u{feff}{}", MINIMAL.replace('\n', "\r\n"));
    assert!(Place::new().load(&text, &[]).is_ok());
}
