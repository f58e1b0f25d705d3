//! What a program finds in its cell.

use sandbox::{Error, How};

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
        let tmp = if level == sandbox::Level::Two {
            "/tmp".into()
        } else {
            world.path("tmp")
        };
        let expected = [
            "GIVEN=1".to_owned(),
            format!("HOME={}", world.path("home").display()),
            "LANG=C.UTF-8".into(),
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
            "SHELL=/bin/bash".into(),
            format!("TMPDIR={}", tmp.display()),
            "USER=me".into(),
        ];
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
        assert_eq!((output.end.survivors, output.end.left_behind), (0, 0), "{level}");
    }
}
