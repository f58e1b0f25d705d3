//! What a program finds in its cell.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use sandbox::{Error, How, Level};

use crate::world::{LEVELS, OUTPUT_BYTES, World, program, run, sandbox, says, shell};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_program_sees_exactly_the_environment_it_is_given_and_six_defaults() {
    for level in LEVELS {
        let world = World::new();
        let mut program = program("env", &[]);
        program.env = vec![("GIVEN".into(), "1".into()), ("USER".into(), "me".into())];
        let output = run(level, world.spec(), program).await;
        let mut lines: Vec<_> = output.stdout.text().lines().map(str::to_owned).collect();
        lines.sort();
        let tmp = if level == Level::Two {
            "/tmp".into()
        } else {
            world.path("tmp")
        };
        let mut expected = vec![
            "GIVEN=1".to_owned(),
            format!("HOME={}", world.path("home").display()),
            "LANG=C.UTF-8".into(),
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
            "SHELL=/bin/bash".into(),
            format!("TMPDIR={}", tmp.display()),
            "USER=me".into(),
        ];
        if level != Level::Off {
            expected.insert(0, "ASAN_OPTIONS=detect_leaks=0".into());
        }
        if level == Level::One {
            expected.push(format!(
                "JAVA_TOOL_OPTIONS=-Djava.io.tmpdir=\"{}\"",
                tmp.display()
            ));
        }
        expected.sort();
        assert_eq!(lines, expected, "{level}");
    }
}

#[tokio::test]
async fn it_works_in_its_work_tree_and_may_write_there_in_home_and_in_tmp() {
    for level in LEVELS {
        let world = World::new();
        let script = "pwd; echo a > a; echo b > $HOME/b; echo c > $TMPDIR/c; mkdir d && mv a d/a && ln -s d/a e && cat e";
        let said = says(level, &world, script).await;
        assert_eq!(said, format!("{}\na\n", world.path("work").display()), "{level}");
        for path in ["work/d/a", "home/b", "tmp/c"] {
            assert!(world.path(path).is_file(), "{level}: {path}");
        }
    }
}

#[tokio::test]
async fn a_program_that_is_missing_or_not_executable_is_told_apart_from_a_broken_sandbox() {
    for level in LEVELS {
        let world = World::new();
        std::fs::write(world.path("work/plain"), "text").unwrap();
        for (name, kind) in [
            ("/usr/bin/there-is-no-such-program", std::io::ErrorKind::NotFound),
            ("./plain", std::io::ErrorKind::PermissionDenied),
        ] {
            let sandbox = sandbox(level).await;
            let run = sandbox.run(
                world.spec(),
                program(name, &[]),
                OUTPUT_BYTES,
                CancellationToken::new(),
            );
            match run.await {
                Err(Error::Start { source, .. }) => assert_eq!(source.kind(), kind, "{level}: {name}"),
                other => panic!("{level}: {name}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn exit_code_and_both_streams_arrive() {
    for level in LEVELS {
        let world = World::new();
        let output = run(level, world.spec(), shell("echo out; echo err >&2; exit 7")).await;
        assert_eq!(output.end.how, How::Exited(7));
        assert_eq!(
            (output.stdout.text(), output.stderr.text()),
            ("out\n".into(), "err\n".into())
        );
        assert_eq!(output.end.left_behind, 0, "{level}");
    }
}

#[tokio::test]
async fn what_the_worker_puts_into_an_open_cells_home_is_the_programs_own() {
    for level in LEVELS {
        let world = World::new();
        let cell = sandbox(level).await.cell(world.spec()).await.unwrap();
        let file = world.path("home/settings");
        std::fs::write(&file, "from outside").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut running = cell
            .start(shell("cat $HOME/settings && echo from inside > $HOME/settings"))
            .await
            .unwrap();
        let end = running.ended(&CancellationToken::new()).await.unwrap();
        assert_eq!(end.how, How::Exited(0), "{level}");
        assert_eq!(
            std::fs::read_to_string(&file).unwrap(),
            "from inside\n",
            "{level}"
        );
    }
}

#[tokio::test]
async fn a_file_of_two_names_is_not_given_to_another_user() {
    let world = World::new();
    std::fs::write(world.path("outside"), "").unwrap();
    std::fs::hard_link(world.path("outside"), world.path("work/inside")).unwrap();
    let sandbox = sandbox(Level::Two).await;
    let run = sandbox.run(
        world.spec(),
        shell("true"),
        OUTPUT_BYTES,
        CancellationToken::new(),
    );
    let run = run.await;
    let owner = std::fs::metadata(world.path("outside")).unwrap().uid();
    assert_eq!(owner, rustix::process::geteuid().as_raw());
    assert_eq!(run.is_err(), rustix::process::geteuid().is_root(), "{run:?}");
}

#[tokio::test]
async fn arguments_and_environment_may_be_as_long_as_the_kernel_takes_them() {
    const LENGTH: usize = 100_000;
    for level in LEVELS {
        let world = World::new();
        let mut program = shell("echo ${#1} ${#GIVEN}");
        program.args.extend(["name".into(), "x".repeat(LENGTH).into()]);
        program.env.push(("GIVEN".into(), "y".repeat(LENGTH).into()));
        let output = run(level, world.spec(), program).await;
        assert_eq!(output.stdout.text(), format!("{LENGTH} {LENGTH}\n"), "{level}");
    }
}
