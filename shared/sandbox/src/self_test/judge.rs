//! What the outcomes of a battery mean.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Control, Examination, Leak, SelfTest, SelfTestError};
use crate::cell::Needs;
use crate::level::{Level, Residue};
use crate::probe::plan::{Outcome, Tried};
use crate::probe::{POSITIVES, PROBES, Probe};

/// What an agent's need of unix sockets opens at level 1.
const BY_UNIX_SOCKETS: [&str; 4] = [
    "unix_stream",
    "unix_datagram",
    "unix_socketpair_datagram",
    "unix_socketpair_raw",
];
/// What its need of a port opens at level 1.
const BY_PRIVATE_PORT: [&str; 1] = ["listen_without_bind"];
/// What its need of netlink opens at level 2, in a network of its own.
const BY_NETLINK: [&str; 2] = ["netlink", "other_socket_families"];
/// The last of these, if it found no other family.
const NETLINK_ALONE: &str = "made sockets of the families 16";

/// Judges what came of a battery by what the claimed level promises. A probe that should have run and was not heard of
/// is as bad as one that could not be tried.
pub(super) fn judge(
    examination: &Examination,
    tried: &[Tried],
    control: &Control,
) -> Result<SelfTest, SelfTestError> {
    let claimed = examination.claimed;
    let outcomes: BTreeMap<&str, &Tried> = tried.iter().map(|tried| (tried.name.as_str(), tried)).collect();
    let mut verdict = Verdict::default();
    for probe in PROBES {
        match outcomes.get(probe.name) {
            // By design, and told as residue beside the level.
            Some(tried) if is_granted(claimed, &examination.granted, tried) => {}
            Some(tried) => verdict.attack(claimed, probe, tried, control.worked.contains(probe.name)),
            None => verdict
                .unusable
                .push(format!("{} (nothing was heard of it)", probe.name)),
        }
    }
    for probe in POSITIVES.iter().filter(|probe| probe.holds_from <= claimed) {
        match outcomes.get(probe.name) {
            Some(tried) if tried.outcome == Outcome::Held => {}
            Some(_) if probe.tool && control.missing.contains(probe.name) => {}
            Some(tried) => verdict
                .unusable
                .push(format!("{} ({})", probe.name, tried.detail)),
            None => verdict
                .unusable
                .push(format!("{} (nothing was heard of it)", probe.name)),
        }
    }
    verdict.spoken()
}

/// Whether what worked is what the granted needs give away.
fn is_granted(claimed: Level, granted: &Needs, tried: &Tried) -> bool {
    let name = tried.name.as_str();
    let shared = claimed == Level::One;
    tried.outcome == Outcome::Leaked
        && (granted.unix_sockets && shared && BY_UNIX_SOCKETS.contains(&name)
            || granted.private_port.is_some() && shared && BY_PRIVATE_PORT.contains(&name)
            || granted.netlink
                && !shared
                && BY_NETLINK.contains(&name)
                && (name == "netlink" || tried.detail == NETLINK_ALONE))
}

#[derive(Default)]
struct Verdict {
    held: Vec<String>,
    not_proven: Vec<String>,
    residue: Vec<Residue>,
    leaks: Vec<String>,
    unusable: Vec<String>,
}

impl Verdict {
    fn attack(&mut self, claimed: Level, probe: &Probe, tried: &Tried, proven: bool) {
        let detailed = || format!("{} ({})", probe.name, tried.detail);
        match tried.outcome {
            // Not promised. What could not be tried is told as if it had worked.
            Outcome::Leaked | Outcome::Error if probe.holds_from > claimed => {
                let news = probe.residue.filter(|residue| !self.residue.contains(residue));
                self.residue.extend(news);
            }
            Outcome::Leaked => self.leaks.push(detailed()),
            Outcome::Error if proven => self.unusable.push(detailed()),
            Outcome::Held if proven => self.held.push(probe.name.to_owned()),
            Outcome::Held | Outcome::Error => self.not_proven.push(probe.name.to_owned()),
        }
    }

    fn spoken(self) -> Result<SelfTest, SelfTestError> {
        if !self.leaks.is_empty() {
            return Err(Leak { probes: self.leaks }.into());
        }
        if !self.unusable.is_empty() {
            return Err(SelfTestError::Unusable {
                probes: self.unusable,
            });
        }
        Ok(SelfTest {
            held: self.held,
            not_proven: self.not_proven,
            residue: self.residue,
            wall: Duration::ZERO,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds at level 1.
    const ATTACK: &str = "tcp_nats";
    /// Holds at level 2 only.
    const LESSER: &str = "stat_outside";

    /// A battery in which everything is as it should be, but for one probe.
    fn all_but(name: &str, outcome: Option<Outcome>) -> Vec<Tried> {
        let all = PROBES.iter().chain(POSITIVES).map(|probe| probe.name);
        let tried = |name: &str, outcome| Tried {
            name: name.to_owned(),
            outcome,
            detail: "why".to_owned(),
        };
        let others = all
            .filter(|other| *other != name)
            .map(|other| tried(other, Outcome::Held));
        others
            .chain(outcome.map(|outcome| tried(name, outcome)))
            .collect()
    }

    fn all_work_outside() -> Control {
        Control {
            worked: PROBES.iter().map(|probe| probe.name.to_owned()).collect(),
            ..Control::default()
        }
    }

    fn judged(tried: &[Tried], control: &Control) -> Result<SelfTest, SelfTestError> {
        judge(&Examination::of(Level::One), tried, control)
    }

    #[test]
    fn what_holds_and_works_outside_is_held() {
        let test = judged(&all_but("", None), &all_work_outside()).expect("all is well");
        assert_eq!((test.held.len(), test.not_proven.len()), (PROBES.len(), 0));
    }

    #[test]
    fn what_holds_but_works_nowhere_is_not_proven() {
        let mut control = all_work_outside();
        control.worked.remove(ATTACK);
        let test = judged(&all_but("", None), &control).expect("nothing leaks");
        assert_eq!(test.not_proven, [ATTACK]);
        assert!(!test.held.contains(&ATTACK.to_owned()));
    }

    #[test]
    fn what_works_is_a_leak_even_if_the_control_did_not() {
        for control in [all_work_outside(), Control::default()] {
            match judged(&all_but(ATTACK, Some(Outcome::Leaked)), &control) {
                Err(SelfTestError::Leak(Leak { probes })) => assert_eq!(probes, ["tcp_nats (why)"]),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn what_could_not_be_tried_inside_but_works_outside_is_no_pass() {
        match judged(&all_but(ATTACK, Some(Outcome::Error)), &all_work_outside()) {
            Err(SelfTestError::Unusable { probes }) => assert_eq!(probes, ["tcp_nats (why)"]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_probe_that_was_not_heard_of_is_no_pass() {
        for missing in [ATTACK, LESSER, "work_tree"] {
            match judged(&all_but(missing, None), &all_work_outside()) {
                Err(SelfTestError::Unusable { probes }) => {
                    assert_eq!(probes, [format!("{missing} (nothing was heard of it)")]);
                }
                other => panic!("{missing}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_cell_in_which_nothing_can_be_done_is_no_pass() {
        match judged(&all_but("work_tree", Some(Outcome::Error)), &all_work_outside()) {
            Err(SelfTestError::Unusable { probes }) => assert_eq!(probes, ["work_tree (why)"]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_tool_that_does_not_work_outside_either_is_not_asked_for() {
        let mut control = all_work_outside();
        for (tool, excused) in [("compiler", true), ("shell", false)] {
            let broken = all_but(tool, Some(Outcome::Error));
            assert!(judged(&broken, &control).is_err(), "{tool} works outside");
            control.missing.insert(tool.to_owned());
            assert_eq!(judged(&broken, &control).is_ok(), excused, "{tool}");
        }
    }

    #[test]
    fn what_only_the_higher_level_promises_is_residue_at_the_lower_one() {
        let tried = all_but(LESSER, Some(Outcome::Leaked));
        let test = judged(&tried, &all_work_outside()).expect("nothing leaks");
        assert_eq!(test.residue.len(), 1);
        assert!(judge(&Examination::of(Level::Two), &tried, &all_work_outside()).is_err());
    }
}
