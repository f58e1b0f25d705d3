//! What a program reaches from its cell: its model proxy's port, and nothing else.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use sandbox::{CellSpec, Error, How, Level, Needs, Program, Sandbox, Settings};
use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::CancellationToken;

use crate::world::{CONFINED, LEVELS, OUTPUT_BYTES, World, program, run, sandbox, says, settings, shell};

/// Prints what is sent from a port on 127.0.0.1.
fn connect(port: u16) -> Program {
    program(
        "/bin/bash",
        &["-c", &format!("exec 3<>/dev/tcp/127.0.0.1/{port} && cat <&3")],
    )
}

fn with_listener(world: &World) -> CellSpec {
    CellSpec {
        model_listener: true,
        ..world.spec()
    }
}

/// Greets whoever connects, until it is dropped.
fn greet(listener: TcpListener) -> tokio::task::JoinSet<()> {
    let mut greeter = tokio::task::JoinSet::new();
    let listener = tokio::net::TcpListener::from_std(listener).expect("it does not block");
    greeter.spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            // Whoever was greeted may be gone.
            let _ = connection.write_all(b"hello").await;
        }
    });
    greeter
}

#[tokio::test]
async fn the_model_proxy_is_reached_from_its_own_cell_and_from_no_other() {
    for level in LEVELS {
        let (world, other) = (World::new(), World::new());
        let sandbox = sandbox(level).await;
        let mut cell = sandbox.cell(with_listener(&world)).await.unwrap();
        let port = cell.model_port().unwrap();
        let _greeter = greet(cell.take_listener().unwrap());
        assert!(cell.take_listener().is_none());
        let mut running = cell.start(connect(port)).await.unwrap();
        let mut stdout = running.stdout.take().unwrap();
        let mut said = Vec::new();
        let cancel = CancellationToken::new();
        let (end, read) = tokio::join!(
            running.ended(&cancel),
            tokio::io::AsyncReadExt::read_to_end(&mut stdout, &mut said)
        );
        assert_eq!((end.unwrap().how, read.unwrap()), (How::Exited(0), 5), "{level}");

        let output = run(level, with_listener(&other), connect(port)).await;
        let expected = if level == Level::Off { "hello" } else { "" };
        assert_eq!(
            output.stdout.text(),
            expected,
            "{level}: {}",
            output.stderr.text()
        );
    }
}

#[tokio::test]
async fn a_service_of_the_machine_is_not_reached() {
    for level in LEVELS {
        let world = World::new();
        let service = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        service.set_nonblocking(true).unwrap();
        let port = service.local_addr().unwrap().port();
        let _greeter = greet(service);
        let output = run(level, world.spec(), connect(port)).await;
        let expected = if level == Level::Off { "hello" } else { "" };
        assert_eq!(
            output.stdout.text(),
            expected,
            "{level}: {}",
            output.stderr.text()
        );
    }
}

#[tokio::test]
async fn files_outside_are_neither_read_nor_written() {
    for level in LEVELS {
        let world = World::new();
        let file = world.path("outside");
        std::fs::write(&file, "a secret").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
        let script = format!(
            "cat {0}; echo spoilt > {0}; cat /etc/shadow; true",
            file.display()
        );
        let output = run(level, world.spec(), shell(&script)).await;
        assert_eq!(output.end.how, How::Exited(0));
        let left = std::fs::read_to_string(&file).unwrap();
        if level == Level::Off {
            assert!(output.stdout.text().contains("a secret") && left == "spoilt\n");
        } else {
            assert_eq!(
                (output.stdout.text().as_str(), left.as_str()),
                ("", "a secret"),
                "{level}"
            );
        }
    }
}

#[tokio::test]
async fn an_own_process_tree_shows_nobody_else() {
    let world = World::new();
    let said = says(
        Level::Two,
        &world,
        "echo /proc/[0-9]*; hostname; id -u; cat /proc/1/environ 2>&1; true",
    )
    .await;
    let mut lines = said.lines();
    assert_eq!(lines.next().unwrap().split(' ').count(), 2, "{said}");
    assert_eq!((lines.next(), lines.next()), (Some("sandbox"), Some("1000")));
    assert!(lines.next().unwrap().contains("Permission denied"), "{said}");
}

#[tokio::test]
async fn a_confined_program_has_no_capability_and_is_not_root() {
    for level in CONFINED {
        let world = World::new();
        let said = says(
            level,
            &world,
            "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; id -u",
        )
        .await;
        for line in said.lines().filter(|line| line.starts_with("Cap")) {
            let bounding = line.starts_with("CapBnd");
            let unprivileged = level == Level::One && !rustix::process::geteuid().is_root();
            assert!(
                line.ends_with("\t0000000000000000") || (bounding && unprivileged),
                "{level}: {line}"
            );
        }
        assert!(said.contains("NoNewPrivs:\t1\nSeccomp:\t2\n"), "{level}: {said}");
        assert_ne!(said.lines().last(), Some("0"), "{level}");
    }
}

#[tokio::test]
async fn only_the_three_streams_are_open() {
    for level in LEVELS {
        let world = World::new();
        // The directory that is being listed is the fourth.
        let said = says(level, &world, "echo /proc/self/fd/*").await;
        assert_eq!(said.split_whitespace().count(), 4, "{level}: {said}");
    }
}

#[tokio::test]
async fn pseudo_terminals_are_there_on_need() {
    for level in CONFINED {
        for pty in [false, true] {
            let world = World::new();
            let spec = CellSpec {
                needs: Needs {
                    pty,
                    ..Needs::default()
                },
                ..world.spec()
            };
            let output = run(level, spec, shell("exec 3<>/dev/ptmx")).await;
            assert_eq!(
                output.end.how == How::Exited(0),
                pty,
                "{level}: {}",
                output.stderr.text()
            );
        }
    }
}

#[tokio::test]
async fn a_private_port_can_be_listened_on_and_without_the_need_none_can_at_level_1() {
    // Bash cannot listen; perl is part of every Debian and of every git.
    let listens = |port: u16| {
        let script = format!(
            "use Socket; socket(S, PF_INET, SOCK_STREAM, 0) or die; \
             bind(S, sockaddr_in({port}, INADDR_LOOPBACK)) or die \"bind: $!\"; listen(S, 1) or die \"listen: $!\"; \
             socket(C, PF_INET, SOCK_STREAM, 0) or die; connect(C, sockaddr_in({port}, INADDR_LOOPBACK)) or die \"connect: $!\";"
        );
        program("perl", &["-e", &script])
    };
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    for (level, private_port, works) in [
        (Level::One, None, false),
        (Level::One, Some(free), true),
        (Level::Two, None, true),
    ] {
        let world = World::new();
        let spec = CellSpec {
            needs: Needs {
                private_port,
                ..Needs::default()
            },
            ..world.spec()
        };
        let output = run(level, spec, listens(free)).await;
        assert_eq!(
            output.end.how == How::Exited(0),
            works,
            "{level}: {}",
            output.stderr.text()
        );
    }
}

#[tokio::test]
async fn a_data_directory_that_is_closed_to_the_runs_user_is_named_at_level_1_and_no_matter_at_level_2() {
    let closed = || {
        let world = World::new();
        std::fs::set_permissions(world.dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        world
    };
    let world = closed();
    assert_eq!(says(Level::Two, &world, "echo a > a && cat a").await, "a\n");

    let world = closed();
    let sandbox = sandbox(Level::One).await;
    let run = sandbox.run(
        world.spec(),
        shell("true"),
        OUTPUT_BYTES,
        CancellationToken::new(),
    );
    let run = tokio::time::timeout(Duration::from_secs(20), run)
        .await
        .expect("it ends");
    if rustix::process::geteuid().is_root() {
        match run {
            Err(Error::Unreachable {
                user: 65534, closed, ..
            }) => assert_eq!(closed, world.dir.path()),
            other => panic!("{other:?}"),
        }
    } else {
        assert_eq!(run.unwrap().end.how, How::Exited(0), "it is this user's own");
    }
}

#[tokio::test]
async fn root_is_not_confined_without_namespaces() {
    let root = Settings {
        user: Some(0),
        ..settings(Level::One)
    };
    let found = Sandbox::start(root).await;
    if rustix::process::geteuid().is_root() {
        let reason = found.expect_err("agents would be root").reason;
        assert!(reason.contains("root is not confined"), "{reason}");
    } else {
        // Whom root would run agents as does not matter to others: agents are their own user.
        assert_eq!(found.expect("there is level 1").level(), Level::One);
    }
}
