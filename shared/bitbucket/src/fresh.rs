//! An answer that is asked for again after an hour.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// Names, e-mail addresses and Bitbucket's version change rarely; within an hour a change is noticed.
const FRESH_FOR: Duration = Duration::from_hours(1);

/// Values with the time they were learnt; whoever asks while another is asking waits for that answer.
pub(crate) struct Fresh<T>(Mutex<Vec<(Instant, T)>>);

impl<T> Default for Fresh<T> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<T: Clone> Fresh<T> {
    /// The fresh value that `matches`, else what `learn` finds out. A failure is not remembered.
    pub(crate) async fn get_or_learn<E>(
        &self,
        matches: impl Fn(&T) -> bool,
        learn: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut known = self.0.lock().await;
        known.retain(|(learnt_at, _)| learnt_at.elapsed() < FRESH_FOR);
        if let Some((_, value)) = known.iter().find(|(_, value)| matches(value)) {
            return Ok(value.clone());
        }
        let value = learn.await?;
        known.push((Instant::now(), value.clone()));
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(known: &Fresh<u32>, answer: Result<u32, ()>) -> Result<u32, ()> {
        known.get_or_learn(|_| true, async { answer }).await
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_asked_for_again_after_an_hour() {
        let known = Fresh::default();
        assert_eq!(ask(&known, Ok(1)).await, Ok(1));
        assert_eq!(ask(&known, Ok(2)).await, Ok(1));
        tokio::time::advance(FRESH_FOR).await;
        assert_eq!(ask(&known, Ok(3)).await, Ok(3));
    }

    #[tokio::test]
    async fn a_failure_is_not_remembered() {
        let known = Fresh::default();
        assert_eq!(ask(&known, Err(())).await, Err(()));
        assert_eq!(ask(&known, Ok(2)).await, Ok(2));
    }
}
