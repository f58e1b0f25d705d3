//! What a run record asks for next. Pure, so that every interleaving can be written down as a test.

use std::time::Duration;

use jiff::Timestamp;
use pipeline::effect::Progress;
use pipeline::run::{Run, RunState};

use crate::{build, effects};

/// A poster that has not recorded its reply after this long has died or lost an answer: longer than a POST that
/// succeeds takes, short enough that a person does not wonder.
pub(crate) const INTENT_STALE: Duration = Duration::from_secs(10);

/// A run that is next on its lane and found a free worker has begun by then: one text says so, instead of one that it
/// waits and another at once. Short enough that a person who does wait is told long before they wonder.
pub(crate) const START_WAIT: Duration = Duration::from_secs(1);

/// Steps of a running agent change the reply at most this often: each edit is a call that Bitbucket's rate limit counts.
pub(crate) const EDIT_PAUSE: Duration = Duration::from_secs(10);

/// What this process last wrote for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The state the reply shows.
    pub(crate) state: RunState,
    /// When it was written.
    pub(crate) at: Timestamp,
}

/// One step towards a pull request that says what the record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The pull request says it.
    Nothing,
    /// Nobody has posted the status reply.
    Post,
    /// Somebody meant to, and may have.
    LookThenPost,
    /// Somebody is about to; look after this long.
    Wait(Duration),
    /// The run is about to begin; what is posted says so, or after this long that it waits.
    PostSoon(Duration),
    /// The status reply is out of date.
    Edit,
    /// It is, but was edited just now.
    EditLater(Duration),
    /// The run has ended, and what it is to do to the pull request is not all done: that comes before the end is said.
    Effects,
    /// An effect was begun more than once, so one too many may have arrived.
    DeleteSurplusEffects,
    /// The build status says something else than the record.
    Build,
    /// The end is said; an earlier post may have arrived beside it.
    DeleteSurplus,
    /// The run is to be told of when it is over; until then the reaction alone says that it was heard.
    OpenReaction,
    /// The end is said by an edit, and is to be told in a comment as well.
    Finish,
    /// The end is said; the reaction is still that of the beginning.
    CloseReaction,
}

/// The process that decides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Me<'a> {
    /// Its name in intents.
    pub(crate) poster: &'a str,
    /// Whether it sets build statuses.
    pub(crate) sets_builds: bool,
    /// Whether the end of this run is told in a comment of its own.
    pub(crate) tells_end: bool,
    /// Whether it tried to set 👀 on the comment that asked; not everywhere it can be set.
    pub(crate) has_opened: bool,
}

/// Decides by the record, by what this process did, and by who posts in it.
pub(crate) fn next(run: &Run, shown: Option<Shown>, me: Me<'_>, now: Timestamp) -> Next {
    let reply = &run.reply;
    let ended = run.state.is_terminal();
    if ended && reply.closing_reaction {
        return Next::Nothing;
    }
    if let Some((_, effect)) = effects::first_open(run) {
        return match &effect.progress {
            Progress::Begun { poster, at } if poster != me.poster => {
                left(INTENT_STALE, *at, now).map_or(Next::Effects, Next::Wait)
            }
            _ => Next::Effects,
        };
    }
    if reply.comment.is_none() {
        let quiet = run.command.options.quiet;
        let starts = about_to_start(run, now);
        if (quiet || starts.is_some()) && !ended && !reply.eyes && !me.has_opened {
            return Next::OpenReaction;
        }
        if (reply.deleted_by_person || quiet) && !ended {
            return Next::Nothing;
        }
        return match &reply.intent {
            None => starts.map_or(Next::Post, Next::PostSoon),
            Some(intent) if intent.poster == me.poster => Next::LookThenPost,
            Some(intent) => left(INTENT_STALE, intent.at, now).map_or(Next::LookThenPost, Next::Wait),
        };
    }
    if reply.shows_n.is_none_or(|shows| shows < run.n) {
        // A change of state is told at once; a step waits for its turn.
        let pause = shown.filter(|shown| !ended && shown.state == run.state);
        return pause
            .and_then(|shown| left(EDIT_PAUSE, shown.at, now))
            .map_or(Next::Edit, Next::EditLater);
    }
    if me.sets_builds && build::next(run).is_some() {
        return Next::Build;
    }
    if ended && reply.effects_unsure {
        return Next::DeleteSurplusEffects;
    }
    if ended && me.tells_end {
        match &reply.finish {
            Progress::Done { .. } | Progress::Failed { .. } => {}
            Progress::Begun { poster, at } if poster != me.poster => {
                return left(INTENT_STALE, *at, now).map_or(Next::Finish, Next::Wait);
            }
            _ => return Next::Finish,
        }
    }
    match (ended, reply.intent.is_some()) {
        (false, _) => Next::Nothing,
        (true, true) => Next::DeleteSurplus,
        (true, false) => Next::CloseReaction,
    }
}

/// How long a run that nothing is ahead of may still take to begin before a person is told that it waits.
fn about_to_start(run: &Run, now: Timestamp) -> Option<Duration> {
    let is_next = run.state == RunState::Queued && run.ahead == 0 && run.reply.intent.is_none();
    is_next.then(|| left(START_WAIT, run.queued_at, now)).flatten()
}

/// What is left of a time that began at `since`. A clock that went back does not prolong it.
pub(crate) fn left(whole: Duration, since: Timestamp, now: Timestamp) -> Option<Duration> {
    let gone = Duration::try_from(now.duration_since(since)).ok()?;
    whole.checked_sub(gone).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use pipeline::ids::CommentId;
    use pipeline::run::{Outcome, PostIntent};

    use super::*;
    use crate::sample::{at, queued, running};

    const ME: &str = "me";
    const HERE: Me<'_> = Me {
        poster: ME,
        sets_builds: false,
        tells_end: false,
        has_opened: false,
    };

    fn check(run: &Run, shown: Option<Shown>, second: i64, expected: Next) {
        assert_eq!(next(run, shown, HERE, at(second)), expected, "{:?}", run.reply);
    }

    fn posted(mut run: Run, shows_n: u64) -> Run {
        run.reply.comment = Some(CommentId(311));
        run.reply.shows_n = Some(shows_n);
        run
    }

    fn ended(mut run: Run) -> Run {
        run.end(None, RunState::Cancelled, Outcome::default(), at(5))
            .unwrap();
        run
    }

    fn intended(mut run: Run, poster: &str) -> Run {
        run.reply.intent = Some(PostIntent {
            poster: poster.into(),
            at: at(100),
        });
        run
    }

    #[test]
    fn the_first_to_see_a_run_posts() {
        check(&queued(), None, 1, Next::Post);
        check(&running(), None, 0, Next::Post);
        check(&ended(queued()), None, 0, Next::Post);
    }

    #[test]
    fn a_run_that_may_begin_at_once_is_heard_at_once_and_told_of_when_it_begins() {
        check(&queued(), None, 0, Next::OpenReaction);
        let without_reactions = Me {
            has_opened: true,
            ..HERE
        };
        assert_eq!(
            next(&queued(), None, without_reactions, at(0)),
            Next::PostSoon(START_WAIT)
        );
        let mut heard = queued();
        heard.reply.eyes = true;
        check(&heard, None, 0, Next::PostSoon(START_WAIT));
        check(&heard, None, 1, Next::Post);
        check(&intended(heard.clone(), ME), None, 0, Next::LookThenPost);
        heard.ahead = 1;
        check(&heard, None, 0, Next::Post);
    }

    #[test]
    fn somebody_elses_intent_is_waited_for_and_then_looked_after() {
        let run = intended(queued(), "other");
        check(&run, None, 103, Next::Wait(Duration::from_secs(7)));
        check(&run, None, 110, Next::LookThenPost);
        check(&run, None, 90, Next::LookThenPost);
    }

    #[test]
    fn our_own_unfinished_post_is_looked_for_at_once() {
        check(&intended(queued(), ME), None, 100, Next::LookThenPost);
    }

    #[test]
    fn what_is_shown_is_not_written_again() {
        check(&posted(queued(), 1), None, 0, Next::Nothing);
    }

    #[test]
    fn a_change_of_state_is_told_at_once_and_steps_wait() {
        let run = posted(running(), 1);
        check(&run, None, 100, Next::Edit);
        check(
            &run,
            Some(Shown {
                state: RunState::Queued,
                at: at(100),
            }),
            100,
            Next::Edit,
        );
        let working = Some(Shown {
            state: RunState::Running,
            at: at(100),
        });
        check(&run, working, 104, Next::EditLater(Duration::from_secs(6)));
        check(&run, working, 110, Next::Edit);
        check(&ended(run), working, 101, Next::Edit);
    }

    #[test]
    fn the_reaction_is_closed_once_the_end_is_said() {
        let mut run = posted(ended(queued()), 2);
        check(&run, None, 0, Next::CloseReaction);
        run.reply.closing_reaction = true;
        check(&run, None, 0, Next::Nothing);
    }

    #[test]
    fn the_end_is_told_in_a_comment_once_the_edit_says_it() {
        let teller = Me {
            tells_end: true,
            ..HERE
        };
        let mut run = posted(ended(running()), 2);
        let step = |run: &Run, second| next(run, None, teller, at(second));
        assert_eq!(step(&run, 0), Next::Edit);
        run.reply.shows_n = Some(3);
        assert_eq!(step(&run, 0), Next::Finish);
        let begun = |poster: &str| Progress::Begun {
            poster: poster.into(),
            at: at(100),
        };
        run.reply.finish = begun("other");
        assert_eq!(step(&run, 103), Next::Wait(Duration::from_secs(7)));
        assert_eq!(step(&run, 110), Next::Finish);
        run.reply.finish = begun(ME);
        assert_eq!(step(&run, 100), Next::Finish);
        run.reply.finish = Progress::failed("gone");
        assert_eq!(step(&run, 100), Next::CloseReaction);
        check(&posted(ended(running()), 3), None, 0, Next::CloseReaction);
    }

    #[test]
    fn what_an_ambiguous_post_may_have_left_is_looked_for_at_the_end() {
        let run = posted(intended(running(), ME), 2);
        check(&run, None, 0, Next::Nothing);
        let run = ended(run);
        check(&run, None, 0, Next::Edit);
        check(&posted(run, 3), None, 0, Next::DeleteSurplus);
    }

    #[test]
    fn a_quiet_run_is_told_of_when_it_is_over() {
        let quiet = |mut run: Run| {
            run.command.options.quiet = true;
            run
        };
        check(&quiet(queued()), None, 0, Next::OpenReaction);
        let mut heard = quiet(running());
        heard.reply.eyes = true;
        check(&heard, None, 0, Next::Nothing);
        check(&quiet(ended(running())), None, 0, Next::Post);
        // A request that became quiet by an edit keeps the reply it has up to date.
        check(&quiet(posted(running(), 1)), None, 100, Next::Edit);
    }

    #[test]
    fn a_reply_that_a_person_deleted_comes_back_only_with_the_end() {
        let mut run = running();
        run.reply.deleted_by_person = true;
        check(&run, None, 0, Next::Nothing);
        check(&ended(run), None, 0, Next::Post);
    }
}
