//! What people do on one pull request, drawn from a seed.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Phrases behind the first request, of one step or a few that belong together: enough for two edits and an end, few
/// enough for hundreds of sequences.
const PHRASES_MAX: usize = 4;
/// Different changes that are asked for: few, so that an edit comes back to one that was asked for before.
const CHANGES: u8 = 3;
/// Milliseconds the model takes to answer: work that is over before anybody looks, and work that can be interrupted.
const PACES: [u64; 3] = [0, 300, 1_200];

/// What happens on one pull request, and how long its model takes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sequence {
    /// Milliseconds the model takes to answer.
    pub(super) pace: u64,
    /// One after the other.
    pub(super) steps: Vec<Step>,
}

/// Something that someone does. Comments are those of alice, counted from her last one back, round and round.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Alice, who may write, comments.
    Writes(Ask),
    /// Bob, who may only read, comments.
    BobWrites(Ask),
    /// Alice edits a comment of hers to ask for this.
    Edits(usize, Ask),
    /// Alice edits a comment of hers without changing what it asks for.
    Touches(usize),
    /// Alice deletes a comment of hers, which Bitbucket allows while nobody has replied.
    Deletes(usize),
    /// The pull request is declined.
    Declines,
    /// The pull request is merged.
    Merges,
    /// Alice waits until the bot says that it works on a comment of hers, or has done so.
    SeesWork(usize),
    /// Alice waits until the bot says how a comment of hers ended.
    SeesEnd(usize),
}

/// What a comment asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// Nothing.
    Nothing,
    /// A change of the code, of this number.
    Change(u8),
    /// The same, signed off.
    Signed(u8),
    /// The patch of a change alone, which is signed off if it is ever pushed.
    Patch(u8),
    /// An answer.
    Question,
    /// The last request again.
    Retry,
    /// To go on with what an earlier run left.
    Continue,
    /// To take back what an earlier run pushed.
    Undo,
    /// That nothing starts any more,
    Pause,
    /// and that it does again.
    Resume,
    /// The end of what waits and runs.
    Stop,
    /// What may be typed.
    Help,
    /// Something with an option that there is not.
    Unknown,
}

impl Ask {
    /// A comment that asks for it. `touched` changes the text around the command alone.
    pub(super) fn text(self, touched: u32) -> String {
        let asks = match self {
            Self::Nothing => "Looks good to me.".to_owned(),
            Self::Change(number) => format!("@openhands do piece {number}"),
            Self::Signed(number) => format!("@openhands --sign-off do piece {number}"),
            Self::Patch(number) => format!("@openhands --dry-run --sign-off do piece {number}"),
            Self::Question => "@openhands ask what is this?".to_owned(),
            Self::Retry => "@openhands retry".to_owned(),
            Self::Continue => "@openhands continue".to_owned(),
            Self::Undo => "@openhands undo".to_owned(),
            Self::Pause => "@openhands pause".to_owned(),
            Self::Resume => "@openhands resume".to_owned(),
            Self::Stop => "@openhands stop".to_owned(),
            Self::Help => "@openhands help".to_owned(),
            Self::Unknown => "@openhands fix it --no-such-option".to_owned(),
        };
        match touched {
            0 => asks,
            times => format!("Thanks, {times} times!\n\n{asks}"),
        }
    }

    /// Whether it waits its turn, as everything does that is not answered at once.
    pub(super) fn starts_a_run(self) -> bool {
        matches!(
            self,
            Self::Change(_)
                | Self::Signed(_)
                | Self::Patch(_)
                | Self::Question
                | Self::Retry
                | Self::Continue
                | Self::Undo
        )
    }
}

impl Sequence {
    /// The sequence of a seed, with what it takes to make it smaller.
    pub(super) fn of_seed(seed: u64) -> impl ValueTree<Value = Self> {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        sequences().new_tree(&mut runner).expect("nothing is filtered")
    }
}

fn sequences() -> impl Strategy<Value = Sequence> {
    let more = prop::collection::vec(phrases(), 0..=PHRASES_MAX);
    (prop::sample::select(&PACES[..]), work(), more).prop_map(|(pace, first, more)| Sequence {
        pace,
        steps: std::iter::once(Step::Writes(first))
            .chain(more.into_iter().flatten())
            .collect(),
    })
}

/// Much of what people do goes back to what they have read before.
fn phrases() -> impl Strategy<Value = Vec<Step>> {
    use Step::{BobWrites, SeesEnd, SeesWork, Writes};
    let paused = || vec![Writes(Ask::Pause), SeesEnd(0)];
    let resumed = || vec![Writes(Ask::Resume), SeesEnd(0)];
    prop_oneof![
        16 => steps().prop_map(|step| vec![step]),
        2 => goes_back().prop_map(|ask| vec![SeesEnd(0), Writes(ask)]),
        1 => (work(), goes_back())
            .prop_map(|(work, ask)| vec![SeesEnd(0), Writes(work), SeesEnd(0), Writes(ask)]),
        1 => work().prop_map(move |ask| [paused(), vec![Writes(ask)]].concat()),
        1 => work().prop_map(move |ask| [paused(), resumed(), vec![Writes(ask)]].concat()),
        1 => work().prop_map(|ask| vec![Writes(ask), SeesWork(0), BobWrites(Ask::Stop)]),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let which = || 0..4_usize;
    prop_oneof![
        5 => asks().prop_map(Step::Writes),
        2 => bobs_asks().prop_map(Step::BobWrites),
        4 => (which(), asks()).prop_map(|(which, ask)| Step::Edits(which, ask)),
        2 => which().prop_map(Step::Touches),
        3 => which().prop_map(Step::Deletes),
        1 => Just(Step::Declines),
        1 => Just(Step::Merges),
        3 => which().prop_map(Step::SeesWork),
        2 => which().prop_map(Step::SeesEnd),
    ]
}

fn asks() -> impl Strategy<Value = Ask> {
    prop_oneof![
        5 => work(),
        3 => Just(Ask::Stop),
        2 => goes_back(),
        2 => Just(Ask::Nothing),
        1 => Just(Ask::Question),
        1 => Just(Ask::Pause),
        1 => Just(Ask::Resume),
        1 => Just(Ask::Help),
        1 => Just(Ask::Unknown),
    ]
}

fn work() -> impl Strategy<Value = Ask> {
    prop_oneof![
        4 => (0..CHANGES).prop_map(Ask::Change),
        1 => (0..CHANGES).prop_map(Ask::Signed),
        2 => (0..CHANGES).prop_map(Ask::Patch),
    ]
}

fn goes_back() -> impl Strategy<Value = Ask> {
    prop::sample::select(&[Ask::Retry, Ask::Continue, Ask::Undo][..])
}

fn bobs_asks() -> impl Strategy<Value = Ask> {
    prop::sample::select(
        &[
            Ask::Change(0),
            Ask::Question,
            Ask::Retry,
            Ask::Undo,
            Ask::Stop,
            Ask::Stop,
            Ask::Pause,
            Ask::Resume,
        ][..],
    )
}
