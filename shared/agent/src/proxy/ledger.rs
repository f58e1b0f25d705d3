//! What a run may spend and has spent. Requests that run at the same time count together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Budget;
use crate::endpoint::Prices;
use crate::{Ended, Usage};

/// The usual rule of thumb for English text and code, for what nobody has counted.
const BYTES_PER_TOKEN: u64 = 4;

/// What a cache write costs, in input prices: Anthropic's prompt caching, five minutes and one hour. Endpoints that
/// cache by themselves report no writes.
const CACHE_WRITE_5_MINUTES: f64 = 1.25;
const CACHE_WRITE_1_HOUR: f64 = 2.0;

const TOKENS_PER_PRICE: f64 = 1_000_000.0;

/// Tokens of one answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// Sent, the following ones included.
    pub(crate) input: u64,
    /// Sent and found in the endpoint's cache.
    pub(crate) cached: u64,
    /// Sent and written to the cache for five minutes.
    pub(crate) written_5_minutes: u64,
    /// Sent and written to the cache for an hour.
    pub(crate) written_1_hour: u64,
    /// Written by the model.
    pub(crate) output: u64,
}

impl Tokens {
    /// What so many bytes are taken for.
    pub(crate) fn of_bytes(bytes: u64) -> u64 {
        bytes.div_ceil(BYTES_PER_TOKEN)
    }

    fn all(&self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// US dollars.
    fn cost(&self, prices: &Prices) -> f64 {
        let written = self.written_5_minutes.saturating_add(self.written_1_hour);
        let plain = self.input.saturating_sub(self.cached).saturating_sub(written);
        let input = count(plain)
            + count(self.written_5_minutes) * CACHE_WRITE_5_MINUTES
            + count(self.written_1_hour) * CACHE_WRITE_1_HOUR;
        (input * prices.input + count(self.cached) * prices.cached_input + count(self.output) * prices.output)
            / TOKENS_PER_PRICE
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "beyond 2^53 tokens the last digits cost nothing"
)]
fn count(tokens: u64) -> f64 {
    tokens as f64
}

/// The accounts of one run.
pub(crate) struct Ledger {
    budget: Budget,
    prices: Option<Prices>,
    accounts: Mutex<Accounts>,
    usage: watch::Sender<Usage>,
    cut_off: watch::Sender<Option<Ended>>,
}

#[derive(Default)]
struct Accounts {
    used: Usage,
    /// Requests under way, with what they have used so far as far as it is known.
    open_requests: u32,
    open_tokens: u64,
    open_usd: f64,
}

impl Ledger {
    pub(crate) fn new(budget: Budget, prices: Option<Prices>) -> Self {
        let used = Usage {
            usd: prices.map(|_| 0.0),
            ..Usage::default()
        };
        Self {
            budget,
            prices,
            accounts: Mutex::new(Accounts {
                used,
                ..Accounts::default()
            }),
            usage: watch::Sender::new(used),
            cut_off: watch::Sender::new(None),
        }
    }

    /// Sets aside a turn and `input_tokens`. Where the budget does not have them the run is cut off, and nothing more
    /// is ever granted.
    pub(crate) fn reserve(self: &Arc<Self>, input_tokens: u64) -> Result<Reservation, Ended> {
        let held = Tokens {
            input: input_tokens,
            ..Tokens::default()
        };
        let mut accounts = self.lock();
        self.still_open(&accounts)?;
        let turns = accounts.used.turns.saturating_add(accounts.open_requests);
        if turns >= self.budget.turns {
            return Err(self.cut(Ended::TurnLimit));
        }
        accounts.open_requests += 1;
        self.hold(&mut accounts, &Tokens::default(), &held);
        let ledger = Arc::clone(self);
        if let Some(over) = self.over(&accounts) {
            self.release(&mut accounts, &held);
            return Err(self.cut(over));
        }
        drop(accounts);
        Ok(Reservation {
            ledger,
            held,
            settled: false,
        })
    }

    /// Whether anything may be sent at all, for requests that use up nothing.
    pub(crate) fn is_open(&self) -> Result<(), Ended> {
        let accounts = self.lock();
        self.still_open(&accounts)?;
        if accounts.used.turns >= self.budget.turns {
            return Err(Ended::TurnLimit);
        }
        Ok(())
    }

    pub(crate) fn usage(&self) -> Usage {
        self.lock().used
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Usage> {
        self.usage.subscribe()
    }

    pub(crate) fn cut_off(&self) -> watch::Receiver<Option<Ended>> {
        self.cut_off.subscribe()
    }

    /// Errs once the run is cut off, or when a budget is used up to the last token, be it one of nothing.
    fn still_open(&self, accounts: &Accounts) -> Result<(), Ended> {
        if let Some(ended) = *self.cut_off.borrow() {
            return Err(ended);
        }
        let tokens = accounts.used.tokens().saturating_add(accounts.open_tokens);
        if tokens >= self.budget.tokens {
            return Err(self.cut(Ended::TokenLimit));
        }
        match (accounts.used.usd, self.budget.usd) {
            (Some(used), Some(budget)) if used + accounts.open_usd >= budget => {
                Err(self.cut(Ended::MoneyLimit))
            }
            _ => Ok(()),
        }
    }

    /// What is exceeded by what was used and what is under way.
    fn over(&self, accounts: &Accounts) -> Option<Ended> {
        let tokens = accounts.used.tokens().saturating_add(accounts.open_tokens);
        if tokens > self.budget.tokens {
            return Some(Ended::TokenLimit);
        }
        let used = accounts.used.usd?;
        (used + accounts.open_usd > self.budget.usd?).then_some(Ended::MoneyLimit)
    }

    /// The first reason stays.
    fn cut(&self, why: Ended) -> Ended {
        self.cut_off.send_if_modified(|cut_off| {
            let first = cut_off.is_none();
            cut_off.get_or_insert(why);
            first
        });
        self.cut_off.borrow().unwrap_or(why)
    }

    fn hold(&self, accounts: &mut Accounts, before: &Tokens, now: &Tokens) {
        accounts.open_tokens = accounts
            .open_tokens
            .saturating_sub(before.all())
            .saturating_add(now.all());
        if let Some(prices) = &self.prices {
            // Rounding must not leave a debt of less than nothing.
            accounts.open_usd = (accounts.open_usd - before.cost(prices) + now.cost(prices)).max(0.0);
        }
    }

    fn release(&self, accounts: &mut Accounts, held: &Tokens) {
        self.hold(accounts, held, &Tokens::default());
        accounts.open_requests = accounts.open_requests.saturating_sub(1);
    }

    /// A panic elsewhere cannot leave a half-made entry, so a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one request under way has set aside. Dropped without [`Reservation::settle`], it was not answered and counts
/// nothing.
pub(crate) struct Reservation {
    ledger: Arc<Ledger>,
    held: Tokens,
    settled: bool,
}

impl Reservation {
    /// Sets aside what the answer has used so far. Errs when that is more than the budget has.
    pub(crate) fn grow(&mut self, now: Tokens) -> Result<(), Ended> {
        let mut accounts = self.ledger.lock();
        self.ledger.hold(&mut accounts, &self.held, &now);
        self.held = now;
        match self.ledger.over(&accounts) {
            Some(over) => Err(self.ledger.cut(over)),
            None => Ok(()),
        }
    }

    /// The request was answered: a turn, with these tokens.
    pub(crate) fn settle(mut self, tokens: Tokens) -> Settled {
        self.settled = true;
        let mut accounts = self.ledger.lock();
        self.ledger.release(&mut accounts, &self.held);
        let used = &mut accounts.used;
        used.turns = used.turns.saturating_add(1);
        used.input_tokens = used.input_tokens.saturating_add(tokens.input);
        used.cached_input_tokens = used.cached_input_tokens.saturating_add(tokens.cached);
        used.output_tokens = used.output_tokens.saturating_add(tokens.output);
        let usd = self.ledger.prices.as_ref().map(|prices| tokens.cost(prices));
        used.usd = used.usd.zip(usd).map(|(before, more)| before + more);
        self.ledger.usage.send_replace(*used);
        Settled {
            turn: used.turns,
            tokens,
            usd,
        }
    }
}

/// An answer that is in the accounts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Settled {
    /// Its number among all.
    pub(crate) turn: u32,
    /// What it has used.
    pub(crate) tokens: Tokens,
    /// What it has cost, where there are prices.
    pub(crate) usd: Option<f64>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.settled {
            let mut accounts = self.ledger.lock();
            self.ledger.release(&mut accounts, &self.held);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICES: Prices = Prices {
        input: 10.0,
        cached_input: 1.0,
        output: 100.0,
    };

    fn ledger(turns: u32, tokens: u64, usd: Option<f64>) -> Arc<Ledger> {
        let budget = Budget { turns, tokens, usd };
        Arc::new(Ledger::new(budget, Some(PRICES)))
    }

    fn tokens(input: u64, output: u64) -> Tokens {
        Tokens {
            input,
            output,
            ..Tokens::default()
        }
    }

    fn ended<T>(result: Result<T, Ended>) -> Option<Ended> {
        result.err()
    }

    #[test]
    fn a_budget_of_nothing_grants_nothing() {
        for (ledger, why) in [
            (ledger(0, 100, None), Ended::TurnLimit),
            (ledger(1, 0, None), Ended::TokenLimit),
            (ledger(1, 100, Some(0.0)), Ended::MoneyLimit),
        ] {
            assert_eq!(ended(ledger.is_open()), Some(why));
            assert_eq!(ended(ledger.reserve(0)), Some(why));
            assert_eq!(*ledger.cut_off().borrow(), Some(why));
        }
    }

    #[test]
    fn requests_under_way_count_together_and_failed_ones_give_back() {
        let ledger = ledger(2, 100, None);
        let first = ledger.reserve(40).unwrap();
        let second = ledger.reserve(40).unwrap();
        drop(second);
        let mut second = ledger.reserve(60).unwrap();
        assert_eq!(second.grow(tokens(60, 0)), Ok(()));
        assert_eq!(ledger.usage().tokens(), 0);
        first.settle(tokens(30, 5));
        assert_eq!(second.grow(tokens(60, 5)), Ok(()));
        assert_eq!(second.grow(tokens(60, 6)), Err(Ended::TokenLimit));
        second.settle(tokens(60, 6));
        assert_eq!((ledger.usage().turns, ledger.usage().tokens()), (2, 101));
        // The first reason stays, although the turns are used up as well.
        assert_eq!(ended(ledger.reserve(1)), Some(Ended::TokenLimit));
    }

    #[test]
    fn a_request_that_does_not_fit_is_not_granted() {
        let ledger_of_tokens = ledger(9, 100, None);
        assert_eq!(ended(ledger_of_tokens.reserve(101)), Some(Ended::TokenLimit));
        // 100 tokens at 10 dollars per million.
        assert_eq!(
            ended(ledger(9, 1000, Some(0.001)).reserve(101)),
            Some(Ended::MoneyLimit)
        );
        assert!(ledger(9, 1000, Some(0.001)).reserve(99).is_ok());
        let turns = ledger(1, 1000, None);
        let one = turns.reserve(1).unwrap();
        assert_eq!(ended(turns.reserve(1)), Some(Ended::TurnLimit));
        drop(one);
        assert_eq!(ended(turns.reserve(1)), Some(Ended::TurnLimit));
    }

    #[test]
    fn the_last_turn_may_be_the_end_of_the_work() {
        let ledger = ledger(1, 100, None);
        ledger.reserve(10).unwrap().settle(tokens(10, 10));
        assert_eq!(*ledger.cut_off().borrow(), None);
    }

    #[test]
    fn money_counts_cached_written_and_plain_tokens_each_at_its_price() {
        let ledger = ledger(9, u64::MAX, Some(1000.0));
        let million = 1_000_000;
        ledger.reserve(0).unwrap().settle(Tokens {
            input: 4 * million,
            cached: million,
            written_5_minutes: million,
            written_1_hour: million,
            output: million,
        });
        let usd = ledger.usage().usd.unwrap();
        // 10 plain, 1 cached, 12.5 and 20 written, 100 out.
        assert!((usd - 143.5).abs() < 1e-9, "{usd}");
    }

    #[test]
    fn without_prices_money_is_neither_counted_nor_a_limit() {
        let budget = Budget {
            turns: 9,
            tokens: 1000,
            usd: Some(0.0),
        };
        let ledger = Arc::new(Ledger::new(budget, None));
        ledger.reserve(1).unwrap().settle(tokens(1, 1));
        assert_eq!(ledger.usage().usd, None);
    }
}
