//! The self-test finds what a level does not hold, and finds nothing where it holds.

mod speed;

use std::collections::BTreeSet;
use std::path::PathBuf;

use sandbox::{
    Examination, Leak, Level, Mode, Namespaces, Needs, Residue, Sandbox, SelfTest, SelfTestError, Settings,
};

/// Attacks that do not work outside of a cell either, whoever starts them. On machines with less, fewer work.
///
/// They would need what this kernel may lack (the x32 ABI, unsigned modules, another kernel to load, sockets for pings
/// without rights), or would be felt by the whole machine.
const NOBODY_CAN: [&str; 7] = [
    "calls_of_x32",
    "delete_module",
    "finit_module",
    "icmp",
    "init_module",
    "kexec_load",
    "write_sysrq",
];

/// What an ordinary user cannot do outside either.
const ROOT_CAN: [&str; 17] = [
    "acct",
    "becoming_root",
    "being_root",
    "capabilities",
    "fanotify_init",
    "make_device",
    "open_by_handle",
    "packet_socket",
    "raw_ip",
    "raw_ipv6",
    "reboot",
    "root_group",
    "swapoff",
    "swapon",
    "syslog",
    "write_cgroup",
    "write_kernel_settings",
];

/// What level 1 does not hold, as the battery finds it.
const FOUND_AT_LEVEL_1: [&str; 3] = [
    "one port of other hosts",
    "metadata of outside files",
    "watching files outside",
];

/// Fewer leaks than this would not show an unsandboxed cell for what it is; an ordinary user finds 84, root 108.
const LEAKS_MIN: usize = 80;

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

/// Whether this process is root with every right there is; in a container root may have few.
fn is_mighty() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("there is a /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mine = u64::from_str_radix(line.expect("it is told").trim(), 16).expect("a number");
    let last = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").expect("it is told");
    let last: u32 = last.trim().parse().expect("a number");
    rustix::process::geteuid().is_root() && mine.count_ones() > last
}

/// An attack that is not proven any more has lost its target, or never works.
fn nothing_else_is_unproven(test: &SelfTest) {
    let rights: &[&str] = if is_mighty() { &[] } else { &ROOT_CAN };
    let unexpected: Vec<_> = test
        .not_proven
        .iter()
        .filter(|name| !NOBODY_CAN.contains(&name.as_str()) && !rights.contains(&name.as_str()))
        .collect();
    assert_eq!(unexpected, Vec::<&String>::new());
}

fn short(residue: &[Residue]) -> Vec<&'static str> {
    residue.iter().map(|residue| residue.short).collect()
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
    nothing_else_is_unproven(&test);
    assert_eq!(test.residue, []);
}

#[tokio::test]
async fn level_1_holds_all_but_its_residue() {
    let sandbox = sandbox(Mode::Enforce, Namespaces::Never).await;
    let test = sandbox
        .examine(&Examination::of(Level::One))
        .await
        .expect("nothing leaks");
    nothing_else_is_unproven(&test);
    assert_eq!(short(&test.residue), FOUND_AT_LEVEL_1);
}

#[tokio::test]
async fn everything_that_is_not_held_is_told() {
    let strong = sandbox(Mode::Enforce, Namespaces::Always).await;
    let told = short(strong.residue());
    assert!(
        told == ["the shared kernel"] || told == ["the shared kernel", "names of other processes"],
        "{told:?}"
    );
    let weak = sandbox(Mode::Enforce, Namespaces::Never).await;
    let user = if rustix::process::geteuid().is_root() {
        "one user for all runs"
    } else {
        "the worker's user"
    };
    let told: BTreeSet<_> = short(weak.residue()).into_iter().collect();
    let expected = [
        "a port that a preset needs",
        "metadata of outside files",
        "names of other processes",
        "one port of other hosts",
        "the number of processes",
        "the shared kernel",
        "unix sockets that a preset needs",
        "watching files outside",
        user,
    ];
    assert_eq!(told, BTreeSet::from(expected));
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
    for probe in ["stat_outside", "tcp_other_host", "inotify_outside"] {
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
        let start = sandbox
            .examine(&Examination::of(sandbox.level()))
            .await
            .expect("nothing leaks");
        let run = sandbox
            .self_test(Needs::default(), Vec::new())
            .await
            .expect("nothing leaks");
        assert_eq!((run.held, run.residue), (start.held, start.residue));
    }
}

#[tokio::test]
async fn the_test_before_a_run_finds_what_the_agents_own_paths_open() {
    // At level 2 the folder of that name is the run's own.
    let sandbox = sandbox(Mode::Enforce, Namespaces::Never).await;
    let leaks = leaks(
        sandbox
            .self_test(Needs::default(), vec![std::env::temp_dir()])
            .await,
    );
    assert!(names(&leaks).contains(&"read_other_run"), "{leaks:?}");
}

#[tokio::test]
async fn what_a_runs_needs_open_is_no_leak_and_all_else_is() {
    for namespaces in [Namespaces::Never, Namespaces::Always] {
        let sandbox = sandbox(Mode::Enforce, namespaces).await;
        let needs = Needs {
            unix_sockets: true,
            pty: true,
            private_port: Some(0),
            udp: true,
            netlink: true,
        };
        let test = sandbox
            .self_test(needs.clone(), Vec::new())
            .await
            .expect("nothing else leaks");
        assert!(!test.held.is_empty());
        // The control: a cell with a need more than the run was granted.
        let mut granted = needs.clone();
        let leak = if sandbox.level() == Level::One {
            granted.unix_sockets = false;
            "unix_stream"
        } else {
            granted.netlink = false;
            "netlink"
        };
        let examination = Examination {
            needs: Needs {
                private_port: None,
                ..needs
            },
            granted,
            ..Examination::of(sandbox.level())
        };
        let leaks = leaks(sandbox.examine(&examination).await);
        assert!(names(&leaks).contains(&leak), "{leaks:?}");
    }
}
