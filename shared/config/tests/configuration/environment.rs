//! Overrides and proxies from the environment.

use crate::{MINIMAL, Place};

#[test]
fn a_variable_overrides_a_scalar_of_each_type() {
    let config = Place::new()
        .load(
            MINIMAL,
            &[
                ("OPENHANDS_RESOLVER__DATA_DIR", "/data"),
                ("OPENHANDS_RESOLVER__INGEST__LISTEN", "0.0.0.0:1"),
                ("OPENHANDS_RESOLVER__INGEST__BODY_BYTES_MAX", "2048"),
                ("OPENHANDS_RESOLVER__LIMITS__RUN_USD", "0.5"),
                ("OPENHANDS_RESOLVER__SANDBOX__MODE", "off"),
                ("OPENHANDS_RESOLVER__NATS__URL", "nats://nats:4222"),
                ("UNRELATED__INGEST__LISTEN", "0.0.0.0:2"),
            ],
        )
        .unwrap();
    assert_eq!(config.data_dir.to_str(), Some("/data"));
    assert_eq!(config.ingest.listen.to_string(), "0.0.0.0:1");
    assert_eq!(config.ingest.body_bytes_max, 2048);
    assert!((config.limits.run_usd - 0.5).abs() < f64::EPSILON);
    assert!(config.unsandboxed());
    assert_eq!(config.nats.url.as_deref(), Some("nats://nats:4222"));
}

#[test]
fn a_cluster_is_several_servers_between_commas() {
    let of = |url| Place::new().load(MINIMAL, &[("OPENHANDS_RESOLVER__NATS__URL", url)]);
    let config = of("nats://a:4222, tls://b:4222/").unwrap();
    assert_eq!(config.nats.url.as_deref(), Some("nats://a:4222,tls://b:4222"));
    for (wrong, says) in [
        ("nats://a:4222,http://b", "http://b"),
        ("nats://a:4222,", "must begin with nats:// or tls://"),
        ("nats://nats://a:4222", "two schemes"),
        ("nats://a:4222,nats://user:hunter2@b", "user name or password"),
    ] {
        let problem = of(wrong).unwrap_err().to_string();
        assert!(problem.contains(says), "{wrong}: {problem}");
        assert!(!problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn a_variable_wins_over_the_file() {
    let text = format!("{MINIMAL}\n[health]\nlisten = \"127.0.0.1:1\"\n");
    let config = Place::new()
        .load(&text, &[("OPENHANDS_RESOLVER__HEALTH__LISTEN", "127.0.0.1:2")])
        .unwrap();
    assert_eq!(config.health.listen.port(), 2);
}

#[test]
fn variables_that_name_no_scalar_are_problems() {
    let place = Place::new();
    let problems = place.load(
        MINIMAL,
        &[
            ("OPENHANDS_RESOLVER__INGEST__LISTN", "127.0.0.1:1"),
            ("OPENHANDS_RESOLVER__MENTION__NAMES", "a,b"),
            ("OPENHANDS_RESOLVER__CONNECTION__0__ID", "x"),
            ("OPENHANDS_RESOLVER__LIMITS__RUN_TURNS", "many"),
            ("OPENHANDS_RESOLVER__HEALTH__LISTEN", "nine"),
        ],
    );
    insta::assert_snapshot!(problems.unwrap_err());
}

#[test]
fn proxies_come_from_the_environment_and_lower_case_wins() {
    let variables = [
        ("HTTPS_PROXY", "http://upper:1"),
        ("https_proxy", "lower:3128"),
        ("HTTP_PROXY", "http://plain:1"),
        ("NO_PROXY", ".corp,10.0.0.0/8"),
    ];
    let proxy = Place::new().load(MINIMAL, &variables).unwrap().proxy;
    assert_eq!(proxy.https.unwrap().as_str(), "http://lower:3128/");
    assert_eq!(proxy.http.unwrap().as_str(), "http://plain:1/");
    assert_eq!(proxy.no_proxy, ".corp,10.0.0.0/8");
}

#[test]
fn a_wrong_proxy_is_a_problem_that_does_not_quote_it() {
    let variables = [("HTTPS_PROXY", "socks5://user:hunter2@proxy:1")];
    let problems = Place::new().load(MINIMAL, &variables).unwrap_err().to_string();
    assert!(
        problems.contains("HTTPS_PROXY: is not the URL of an http proxy"),
        "{problems}"
    );
    assert!(!problems.contains("hunter2"));
}

#[test]
fn a_connections_own_proxy_takes_the_place_of_the_environments() {
    let variables = [
        ("HTTPS_PROXY", "http://shared:1"),
        ("NO_PROXY", "bitbucket.example.com"),
    ];
    let place = Place::new();
    let config = place.load(MINIMAL, &variables).unwrap();
    assert_eq!(config.connections[0].proxy_url(&config.proxy), None);
    let own = place
        .load(&format!("{MINIMAL}proxy = \"http://own:2\"\n"), &variables)
        .unwrap();
    assert_eq!(
        own.connections[0].proxy_url(&own.proxy).unwrap().as_str(),
        "http://own:2/"
    );
}
