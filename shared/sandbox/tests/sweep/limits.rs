//! How much an agent may leave behind.

use std::fs;
use std::time::{Duration, Instant};

use sandbox::{SweepError, SweepRules, Why};

use crate::tree::{Tree, removed, withheld};

#[test]
fn six_thousand_directories_within_one_another_are_removed() {
    let tree = Tree::new();
    tree.file("src/kept", "x");
    tree.chain("deep", 6_000);
    tree.chain(".git", 6_000);
    let swept = tree.sweep();
    let mut kept: Vec<_> = (1..=128)
        .map(|depth| {
            vec!["deep"; 1]
                .into_iter()
                .chain(vec!["d"; depth - 1])
                .collect::<Vec<_>>()
                .join("/")
        })
        .collect();
    kept.extend(["src".to_owned(), "src/kept".to_owned()]);
    assert_eq!(tree.paths(), kept);
    let removed = removed(&swept);
    assert_eq!(removed[0], (".git".to_owned(), Why::Repository));
    assert_eq!((removed[1].1, removed.len()), (Why::TooDeep, 2));
}

#[test]
fn a_path_that_is_too_long_is_removed() {
    let tree = Tree::new();
    let long = vec!["n".repeat(200); 5].join("/");
    tree.file(&long, "x");
    let swept = tree
        .sweep_within(&SweepRules {
            path_bytes_max: 804,
            ..SweepRules::default()
        })
        .unwrap();
    assert_eq!(removed(&swept), [(long, Why::TooDeep)]);
}

#[test]
fn many_names_at_the_end_of_a_long_path_do_not_fill_the_memory() {
    // One file with many names takes no room but here.
    const FILES: usize = 2;
    const NAMES: usize = 50_000;
    let named = |directory: &str| {
        let tree = Tree::in_memory();
        for file in 0..FILES {
            let first = format!("{directory}/{file}");
            tree.file(&first, "");
            let directory = tree.path.join(directory);
            for name in 1..NAMES {
                fs::hard_link(tree.path.join(&first), directory.join(format!("{file}-{name}"))).unwrap();
            }
        }
        tree.sweep_within(&SweepRules::default())
    };
    let long = vec!["n".repeat(250); 11].join("/");
    let Err(SweepError::TooMuch { what, .. }) = named(&long) else {
        panic!("it is too much");
    };
    assert!(what.contains("names"), "{what}");
    // The control: that many names are none too many.
    assert!(named("short").unwrap().withheld.is_empty());
}

#[test]
fn a_hundred_thousand_files_are_gone_through_quickly() {
    let tree = Tree::in_memory();
    for directory in 0..100 {
        let path = tree.path.join(format!("d{directory}"));
        fs::create_dir(&path).unwrap();
        for file in 0..1_000 {
            fs::File::create(path.join(file.to_string())).unwrap();
        }
    }
    let begun = Instant::now();
    let swept = tree.sweep();
    // A second on an idle machine; this one may be busy with other tests.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(swept.entries, 100_100);
}

#[test]
fn a_file_over_the_limit_is_withheld_and_counts_for_nothing() {
    let tree = Tree::new();
    tree.file("small", "12345");
    tree.file("sparse", "");
    let sparse = fs::File::options()
        .write(true)
        .open(tree.path.join("sparse"))
        .unwrap();
    sparse.set_len(4 << 30).unwrap();
    let swept = tree.sweep();
    assert_eq!(withheld(&swept), [("sparse".to_owned(), Why::TooLarge)]);
    assert_eq!(swept.bytes, 5);
}

#[test]
fn more_than_may_be_read_ends_the_sweep() {
    let tree = Tree::new();
    for number in 0..20 {
        tree.file(&format!("many/{number}"), "12345");
    }
    let rules = SweepRules::default;
    let too_much = |rules| match tree.sweep_within(&rules) {
        Err(SweepError::TooMuch { what, limit }) => (what, limit),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        too_much(SweepRules {
            entries_max: 20,
            ..rules()
        }),
        ("the number of files in the work tree", 20)
    );
    assert_eq!(
        too_much(SweepRules {
            total_bytes_max: 99,
            ..rules()
        }),
        ("all files in the work tree, in bytes,", 99)
    );
    let exact = SweepRules {
        entries_max: 21,
        total_bytes_max: 100,
        ..rules()
    };
    tree.sweep_within(&exact).unwrap();
}

#[test]
fn a_sweep_ends_in_time() {
    let tree = Tree::new();
    for number in 0..2_000 {
        fs::File::create(tree.path.join(number.to_string())).unwrap();
    }
    let rules = |time_limit| SweepRules {
        time_limit,
        ..SweepRules::default()
    };
    let ended = tree.sweep_within(&rules(Duration::ZERO));
    assert!(
        matches!(ended, Err(SweepError::TimeOut { seconds: 0 })),
        "{ended:?}"
    );
    tree.sweep_within(&rules(Duration::from_secs(60))).unwrap();
}
