use super::*;

fn models() -> Vec<Model> {
    let prices = agent::Prices {
        input: 1.0,
        cached_input: 0.1,
        output: 5.0,
    };
    vec![
        Model {
            alias: "usual".into(),
            name: "vendor/usual".into(),
            prices: Some(prices),
            takes_effort: false,
        },
        Model {
            alias: "local".into(),
            name: "vendor/local".into(),
            prices: None,
            takes_effort: true,
        },
    ]
}

/// What the operator allows.
fn allowed(models: &[Model]) -> Allowed<'_> {
    Allowed {
        models,
        time: Duration::from_mins(30),
        tokens: 100_000,
        usd: 5.0,
        no_test: false,
    }
}

fn of(options: Options) -> Result<Terms, String> {
    allowed(&models()).terms(&options, &RepositoryFile::default())
}

#[test]
fn without_options_a_run_gets_what_the_operator_allows() {
    let terms = of(Options::default()).unwrap();
    assert_eq!(terms.model.alias, "usual");
    assert_eq!((terms.time, terms.tokens), (Duration::from_mins(30), 100_000));
    assert_eq!((terms.usd, terms.tokens_narrowed), (Some(5.0), false));
    assert!(!terms.no_test && terms.effort.is_none() && terms.notes.is_empty());
}

#[test]
fn options_narrow_down_to_the_limit_itself() {
    let time = of(Options {
        time_seconds: Some(1_800),
        ..Options::default()
    });
    assert_eq!(time.unwrap().time, Duration::from_mins(30));
    let tokens = of(Options {
        budget: Some(Budget::Tokens(50_000)),
        ..Options::default()
    })
    .unwrap();
    assert_eq!((tokens.tokens, tokens.tokens_narrowed), (50_000, true));
    let money = of(Options {
        budget: Some(Budget::UsdCents(250)),
        ..Options::default()
    });
    assert_eq!(money.unwrap().usd, Some(2.5));
    let local = of(Options {
        model: Some("local".into()),
        effort: Some(Effort::High),
        ..Options::default()
    })
    .unwrap();
    assert_eq!((local.usd, local.effort), (None, Some(Effort::High)));
    assert!(local.notes.is_empty());
}

#[test]
fn what_asks_for_more_is_refused_and_says_the_limit() {
    let refused = [
        (
            Options {
                model: Some("evil".into()),
                ..Options::default()
            },
            "`--model`: there is no model `evil` here; there is `usual`, `local`",
        ),
        (
            Options {
                time_seconds: Some(1_801),
                ..Options::default()
            },
            "`--time`: a run may take at most 1800 seconds here",
        ),
        (
            Options {
                budget: Some(Budget::Tokens(100_001)),
                ..Options::default()
            },
            "`--budget`: a run may use at most 100000 tokens here",
        ),
        (
            Options {
                budget: Some(Budget::UsdCents(501)),
                ..Options::default()
            },
            "`--budget`: a run may spend at most $5.00 here",
        ),
        (
            Options {
                no_test: true,
                ..Options::default()
            },
            "`--no-test`: the repository's checks may not be left out here",
        ),
    ];
    for (options, why) in refused {
        assert_eq!(of(options).unwrap_err(), why);
    }
    let unpriced = of(Options {
        model: Some("local".into()),
        budget: Some(Budget::UsdCents(1)),
        ..Options::default()
    });
    assert!(unpriced.unwrap_err().contains("has no prices"));
}

#[test]
fn an_effort_that_cannot_be_passed_on_is_told() {
    let terms = of(Options {
        effort: Some(Effort::Low),
        ..Options::default()
    })
    .unwrap();
    assert_eq!(terms.effort, None);
    assert!(
        terms.notes[0].contains("`--effort` changed nothing"),
        "{:?}",
        terms.notes
    );
}

#[test]
fn checks_may_be_left_out_only_where_the_operator_says_so() {
    let models = models();
    let allowed = Allowed {
        no_test: true,
        ..allowed(&models)
    };
    let options = Options {
        no_test: true,
        ..Options::default()
    };
    let terms = allowed.terms(&options, &RepositoryFile::default()).unwrap();
    assert!(terms.no_test && terms.notes[0].contains("left out"));
}

#[test]
fn the_repositorys_file_narrows_what_options_are_measured_by() {
    let models = models();
    let allowed = allowed(&models);
    let mut file = RepositoryFile::default();
    file.limits.time_seconds = Some(600);
    file.limits.budget = Some(Budget::Tokens(40_000));
    file.paths.only = vec!["src/**".into()];
    file.defaults.sign_off = true;
    let terms = allowed.terms(&Options::default(), &file).unwrap();
    assert_eq!((terms.time, terms.tokens), (Duration::from_mins(10), 40_000));
    assert!(terms.tokens_narrowed && terms.sign_off);
    assert!(terms.only.leave_out("docs/x.md") && !terms.only.leave_out("src/x.rs"));
    let longer = Options {
        time_seconds: Some(601),
        ..Options::default()
    };
    let why = allowed.terms(&longer, &file).unwrap_err();
    assert_eq!(why, "`--time`: a run may take at most 600 seconds here");
    // A file that asks for more than the operator allows gets what the operator allows.
    file.limits.time_seconds = Some(86_400);
    file.limits.budget = Some(Budget::UsdCents(10_000));
    let terms = allowed.terms(&Options::default(), &file).unwrap();
    assert_eq!((terms.time, terms.usd), (Duration::from_mins(30), Some(5.0)));
}

#[test]
fn a_default_model_that_is_not_there_is_told_and_an_asked_one_wins() {
    let models = models();
    let allowed = allowed(&models);
    let mut file = RepositoryFile::default();
    file.defaults.model = Some("gone".into());
    let terms = allowed.terms(&Options::default(), &file).unwrap();
    assert_eq!(terms.model.alias, "usual");
    assert!(terms.notes[0].contains("`gone`"), "{:?}", terms.notes);
    file.defaults.model = Some("local".into());
    assert_eq!(
        allowed.terms(&Options::default(), &file).unwrap().model.alias,
        "local"
    );
    let usual = Options {
        model: Some("usual".into()),
        ..Options::default()
    };
    assert_eq!(allowed.terms(&usual, &file).unwrap().model.alias, "usual");
}
