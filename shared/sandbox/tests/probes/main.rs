//! The self-test finds what a level does not hold, and finds nothing where it holds.

use std::path::PathBuf;

use sandbox::{
    Examination, Leak, Level, Mode, Namespaces, Needs, Sandbox, SelfTest, SelfTestError, Settings,
};

/// Fewer attacks than this must not be what a level is judged by.
const HELD_MIN: usize = 60;

/// Fewer leaks than this would not show an unsandboxed cell for what it is.
const LEAKS_MIN: usize = 40;

fn settings(mode: Mode, namespaces: Namespaces) -> Settings {
    Settings {
        mode,
        namespaces,
        user: None,
        read_paths: Vec::new(),
        executable: PathBuf::from(env!("CARGO_BIN_EXE_sandbox-inner")),
    }
}

async fn sandbox(mode: Mode, namespaces: Namespaces) -> Sandbox {
    Sandbox::start(settings(mode, namespaces))
        .await
        .expect("this machine can confine agents")
}

fn leaks(result: Result<SelfTest, SelfTestError>) -> Vec<String> {
    match result {
        Err(SelfTestError::Leak(Leak { probes })) => probes,
        other => panic!("no leak was found: {other:?}"),
    }
}

fn names(leaks: &[String]) -> Vec<&str> {
    leaks.iter().filter_map(|leak| leak.split(' ').next()).collect()
}

#[tokio::test]
async fn level_2_holds_every_attack_that_works_outside() {
    let sandbox = sandbox(Mode::Enforce, Namespaces::Always).await;
    let test = sandbox
        .examine(&Examination::of(Level::Two))
        .await
        .expect("nothing leaks");
    assert!(test.held.len() >= HELD_MIN, "{} held: {test:?}", test.held.len());
    assert_eq!(test.residue, []);
}

#[tokio::test]
async fn level_1_holds_all_but_its_residue() {
    let sandbox = sandbox(Mode::Enforce, Namespaces::Never).await;
    let test = sandbox
        .examine(&Examination::of(Level::One))
        .await
        .expect("nothing leaks");
    assert!(test.held.len() >= HELD_MIN, "{} held: {test:?}", test.held.len());
}

#[tokio::test]
async fn an_unsandboxed_cell_that_claims_to_be_one_is_caught() {
    let sandbox = sandbox(Mode::Off, Namespaces::Auto).await;
    for claimed in [Level::One, Level::Two] {
        let leaks = leaks(sandbox.examine(&Examination::of(claimed)).await);
        assert!(leaks.len() >= LEAKS_MIN, "{} leaks: {leaks:#?}", leaks.len());
    }
}

#[tokio::test]
async fn level_1_that_claims_to_be_level_2_is_caught() {
    let sandbox = sandbox(Mode::Enforce, Namespaces::Never).await;
    let leaks = leaks(sandbox.examine(&Examination::of(Level::Two)).await);
    for probe in ["stat_outside", "tcp_other_host", "setpriority_other_run"] {
        assert!(names(&leaks).contains(&probe), "{probe}: {leaks:?}");
    }
}

#[tokio::test]
async fn a_cell_that_may_read_outside_is_caught() {
    // At level 2 the folder of that name is the run's own.
    let sandbox = sandbox(Mode::Enforce, Namespaces::Never).await;
    // The targets are planted below it.
    let read_paths = vec![std::env::temp_dir()];
    let weakened = Examination {
        read_paths,
        ..Examination::of(Level::One)
    };
    let leaks = leaks(sandbox.examine(&weakened).await);
    for probe in ["read_other_run", "read_by_symlink", "list_outside"] {
        assert!(names(&leaks).contains(&probe), "{probe}: {leaks:?}");
    }
}

#[tokio::test]
async fn a_sandbox_that_leaks_is_not_there() {
    let leaking = Settings {
        read_paths: vec![std::env::temp_dir()],
        ..settings(Mode::Enforce, Namespaces::Never)
    };
    let reason = Sandbox::start(leaking).await.expect_err("it leaks").reason;
    assert!(
        reason.contains("leaks") && reason.contains("read_other_run"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_cell_with_unix_sockets_of_others_is_caught() {
    let sandbox = sandbox(Mode::Enforce, Namespaces::Never).await;
    let needs = Needs {
        unix_sockets: true,
        ..Needs::default()
    };
    let weakened = Examination {
        needs,
        ..Examination::of(Level::One)
    };
    let leaks = leaks(sandbox.examine(&weakened).await);
    for probe in ["unix_stream", "unix_datagram"] {
        assert!(names(&leaks).contains(&probe), "{probe}: {leaks:?}");
    }
}

#[tokio::test]
async fn a_cell_with_netlink_is_caught() {
    let sandbox = sandbox(Mode::Enforce, Namespaces::Always).await;
    let needs = Needs {
        netlink: true,
        ..Needs::default()
    };
    let weakened = Examination {
        needs,
        ..Examination::of(Level::Two)
    };
    let leaks = leaks(sandbox.examine(&weakened).await);
    assert_eq!(names(&leaks), ["netlink", "other_socket_families"]);
}

#[tokio::test]
async fn the_test_before_a_run_finds_the_same() {
    for namespaces in [Namespaces::Never, Namespaces::Always] {
        let sandbox = sandbox(Mode::Enforce, namespaces).await;
        let thorough = sandbox
            .examine(&Examination::of(sandbox.level()))
            .await
            .expect("nothing leaks");
        let quick = sandbox.self_test().await.expect("nothing leaks");
        let missing: Vec<&String> = thorough
            .held
            .iter()
            .filter(|name| !quick.held.contains(name))
            .collect();
        assert_eq!(missing, ["signal_by_owned_file", "unshare", "clone_namespaces"]);
        assert_eq!(quick.residue, thorough.residue);
    }
}
