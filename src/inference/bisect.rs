//! Settles every sequence of a micro-batch, whatever the model does with it.
//!
//! A run that fails is halved until single sequences fail, so one bad text harms itself only
//! (I7). Before a text is blamed a golden one must pass: else the model is down and nothing can
//! be said of any text (I10). Lack of memory takes the same path, and is remembered: what did not
//! fit is not tried again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::TokenIds;
use super::session::RunError;

/// What runs sequences: a session, or a test double.
pub(super) trait Model {
    /// Row-major scores, as [`super::session::Runner::run`].
    fn run(&mut self, sequences: &[&[u32]], longest: usize) -> Result<Vec<f32>, RunError>;

    /// Runs a golden text; an error says that the model is at fault.
    fn canary(&mut self) -> Result<(), String>;
}

/// The padded tokens that fit the device's memory, as far as is known; the sessions share it.
#[derive(Debug, Clone)]
pub(super) struct Room(Arc<AtomicUsize>);

impl Room {
    /// Nothing has failed to fit yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(usize::MAX)))
    }

    /// The most padded tokens to run at once.
    pub(super) fn tokens(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// So many padded tokens did not fit.
    fn exceeded_by(&self, padded_tokens: usize) {
        self.0.fetch_min(padded_tokens / 2, Ordering::Relaxed);
    }
}

/// What became of some sequences, and what it took.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Index of the sequence, its scores.
    pub(super) scored: Vec<(usize, Arc<[f32]>)>,
    /// Index of the sequence, why it has none.
    pub(super) failed: Vec<(usize, String)>,
    /// Runs of the model, canaries not counted.
    pub(super) runs: usize,
    /// Tokens of those runs, with padding.
    pub(super) padded_tokens: usize,
    /// Runs that failed for lack of memory.
    pub(super) out_of_memory: usize,
}

/// Runs the sequences of the given indices until each has scores or has failed alone.
///
/// # Errors
/// When the model is down; the message says why.
pub(super) fn settle(
    model: &mut impl Model,
    labels: usize,
    sequences: &[TokenIds],
    indices: Vec<usize>,
    room: &Room,
) -> Result<Settled, String> {
    let mut settled = Settled::default();
    let mut todo = vec![indices];
    while let Some(group) = todo.pop() {
        let rows: Vec<&[u32]> = group.iter().map(|&index| &*sequences[index]).collect();
        let Some(longest) = rows.iter().map(|row| row.len()).max() else {
            continue;
        };
        let padded_tokens = longest * rows.len();
        if group.len() > 1 && padded_tokens > room.tokens() {
            halve(&mut todo, group);
            continue;
        }
        settled.runs += 1;
        settled.padded_tokens += padded_tokens;
        let result = model.run(&rows, longest);
        let (guilty, error) = match result {
            Ok(scores) => {
                let mut guilty = Vec::new();
                for (&index, row) in group.iter().zip(scores.chunks_exact(labels)) {
                    if row.iter().all(|score| score.is_finite()) {
                        settled.scored.push((index, row.into()));
                    } else {
                        guilty.push(index);
                    }
                }
                (guilty, RunError::Failed("a score is not a finite number".to_owned()))
            }
            Err(error) => (group.clone(), error),
        };
        if matches!(error, RunError::OutOfMemory(_)) {
            settled.out_of_memory += 1;
            if group.len() > 1 {
                room.exceeded_by(padded_tokens);
            }
        }
        if guilty.len() < group.len() {
            todo.extend((!guilty.is_empty()).then_some(guilty));
        } else if let [index] = guilty[..] {
            if let Err(canary) = model.canary() {
                return Err(format!("{error}; a golden text fails too: {canary}"));
            }
            settled.failed.push((index, error.to_string()));
        } else {
            halve(&mut todo, group);
        }
    }
    Ok(settled)
}

fn halve(todo: &mut Vec<Vec<usize>>, mut group: Vec<usize>) {
    let half = group.split_off(group.len() / 2);
    todo.push(half);
    todo.push(group);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores a sequence with its first id; what else it does depends on the ids it meets.
    #[derive(Default)]
    struct Double {
        runs: usize,
        canaries: usize,
        down: bool,
        /// Sequences that fit its memory.
        most: Option<usize>,
        /// Tokens of a sequence that fit its memory.
        longest: Option<usize>,
        canary_fails: bool,
    }

    const FAILS: u32 = 13;
    const NAN: u32 = 14;

    impl Model for Double {
        fn run(&mut self, sequences: &[&[u32]], longest: usize) -> Result<Vec<f32>, RunError> {
            self.runs += 1;
            if self.down || sequences.iter().any(|ids| ids[0] == FAILS) {
                return Err(RunError::Failed("broken".to_owned()));
            }
            let too_many = self.most.is_some_and(|most| sequences.len() > most);
            if too_many || self.longest.is_some_and(|most| longest > most) {
                return Err(RunError::OutOfMemory("cuda".to_owned()));
            }
            let score = |ids: &&[u32]| {
                if ids[0] == NAN { f32::NAN } else { f32::from(u16::try_from(ids[0]).expect("small")) }
            };
            Ok(sequences.iter().flat_map(|ids| [score(ids), 0.0]).collect())
        }

        fn canary(&mut self) -> Result<(), String> {
            self.canaries += 1;
            if self.down || self.canary_fails { Err("broken".to_owned()) } else { Ok(()) }
        }
    }

    fn sequences(ids: &[u32]) -> Vec<TokenIds> {
        ids.iter().map(|&id| [id].into()).collect()
    }

    fn settle_all(model: &mut Double, ids: &[u32]) -> Result<Settled, String> {
        settle(model, 2, &sequences(ids), (0..ids.len()).collect(), &Room::new())
    }

    fn scored(settled: &Settled) -> Vec<(usize, f32)> {
        let mut scored: Vec<_> = settled.scored.iter().map(|(index, row)| (*index, row[0])).collect();
        scored.sort_by_key(|(index, _)| *index);
        scored
    }

    fn failed(settled: &Settled) -> Vec<usize> {
        let mut failed: Vec<_> = settled.failed.iter().map(|(index, _)| *index).collect();
        failed.sort_unstable();
        failed
    }

    #[test]
    fn sequences_without_fault_take_one_run_and_no_canary() {
        let mut model = Double::default();
        let settled = settle_all(&mut model, &[1, 2, 3]).expect("the model is up");
        assert_eq!(scored(&settled), [(0, 1.0), (1, 2.0), (2, 3.0)]);
        assert_eq!((model.runs, model.canaries, settled.runs), (1, 0, 1));
    }

    #[test]
    fn nothing_to_do_takes_no_run() {
        let mut model = Double::default();
        settle_all(&mut model, &[]).expect("the model is up");
        assert_eq!(model.runs, 0);
    }

    #[test]
    fn only_the_sequences_that_fail_alone_fail() {
        let mut model = Double::default();
        let settled = settle_all(&mut model, &[1, 2, FAILS, 4, 5, NAN, 7, 8]).expect("the model is up");
        assert_eq!(failed(&settled), [2, 5]);
        assert_eq!(scored(&settled), [(0, 1.0), (1, 2.0), (3, 4.0), (4, 5.0), (6, 7.0), (7, 8.0)]);
        assert_eq!(model.canaries, 2);
    }

    #[test]
    fn a_score_that_is_no_number_fails_its_sequence_alone() {
        let mut model = Double::default();
        let settled = settle_all(&mut model, &[1, NAN, 3]).expect("the model is up");
        assert_eq!(failed(&settled), [1]);
        assert_eq!(settled.failed[0].1, "a score is not a finite number");
        assert_eq!(model.runs, 2);
    }

    #[test]
    fn a_model_that_fails_on_a_golden_text_is_down_after_few_runs() {
        let mut model = Double { down: true, ..Double::default() };
        let error = settle_all(&mut model, &[1; 1_024]).expect_err("down");
        assert!(error.contains("golden"), "{error}");
        assert!(model.runs <= 11, "{} runs", model.runs);
    }

    #[test]
    fn lack_of_memory_halves_until_it_fits() {
        let mut model = Double { most: Some(3), ..Double::default() };
        let settled = settle_all(&mut model, &[1, 2, 3, 4, 5, 6, 7, 8]).expect("the model is up");
        assert_eq!(settled.scored.len(), 8);
        assert_eq!((failed(&settled).len(), model.canaries), (0, 0));
    }

    #[test]
    fn what_did_not_fit_once_is_not_tried_again() {
        let room = Room::new();
        let mut model = Double { most: Some(3), ..Double::default() };
        let settle_eight = |model: &mut Double| {
            let ids = [1, 2, 3, 4, 5, 6, 7, 8];
            settle(model, 2, &sequences(&ids), (0..ids.len()).collect(), &room).expect("the model is up")
        };
        assert_eq!(settle_eight(&mut model).out_of_memory, 2);
        assert_eq!(room.tokens(), 2, "four tokens did not fit");
        model.runs = 0;
        let settled = settle_eight(&mut model);
        assert_eq!((settled.out_of_memory, settled.scored.len(), model.runs), (0, 8, 4));
    }

    #[test]
    fn a_single_text_that_does_not_fit_fails_alone() {
        let room = Room::new();
        let mut model = Double { longest: Some(2), ..Double::default() };
        let long: TokenIds = [9, 9, 9].into();
        let mut all = sequences(&[1, 2, 3]);
        all.push(long);
        let settled = settle(&mut model, 2, &all, vec![0, 1, 2, 3], &room).expect("the model is up");
        assert_eq!(failed(&settled), [3]);
        assert!(settled.failed[0].1.contains("out of memory"), "{}", settled.failed[0].1);
        assert_eq!(scored(&settled), [(0, 1.0), (1, 2.0), (2, 3.0)]);
        assert_eq!(model.canaries, 1);
        assert!(room.tokens() >= 3, "one long text does not make every micro-batch small: {}", room.tokens());
    }

    #[test]
    fn without_memory_for_a_golden_text_the_model_is_down() {
        let mut model = Double { most: Some(0), ..Double::default() };
        model.canary_fails = true;
        let error = settle_all(&mut model, &[1, 2]).expect_err("down");
        assert!(error.contains("out of memory") && error.contains("golden"), "{error}");
    }
}
