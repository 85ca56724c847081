//! Operations of passes over rows, by counting matrix products. Norms, activation functions and the
//! like are left out: they are a few per cent.

use super::Stage;
use crate::kinds::Scored;
use crate::plan::counts::TokenCounts;

/// Operations of a forward pass.
pub struct Operations {
    trunk: f64,
    /// Attention scores, and their product with the values.
    attention: f64,
    /// The output layer, on tokens whose log-probs are wanted.
    head: f64,
}

impl Operations {
    /// Without the output layer: a value head has next to none.
    pub fn without_head(self) -> Self {
        Operations { head: 0.0, ..self }
    }

    pub fn forward(&self) -> f64 {
        self.trunk + self.attention + self.head
    }
}

impl Stage<'_> {
    /// Operations of one forward pass over all rows.
    pub fn operations(&self, tokens: &TokenCounts) -> Operations {
        let model = self.model;
        let head = model.vocab_size as f64 * model.hidden_size as f64;
        Operations {
            trunk: 2.0 * model.trunk_weights() as f64 * tokens.shared as f64,
            attention: 4.0 * (model.num_hidden_layers * model.query_width()) as f64 * tokens.attended as f64,
            head: 2.0 * head * self.scored(tokens) as f64,
        }
    }

    /// Tokens whose log-probs are wanted.
    pub(super) fn scored(&self, tokens: &TokenCounts) -> u64 {
        match self.facts.scored {
            Scored::Nothing => 0,
            // Each row has two answers, of which one is trained on.
            Scored::WithMismatched => (2 * tokens.shared).saturating_sub(tokens.unshared),
            Scored::WithPrompts => tokens.trained + (tokens.unshared - tokens.shared),
            Scored::Trained => tokens.trained,
        }
    }

    /// Operations of one forward and backward pass over all rows.
    pub fn train_pass(&self, tokens: &TokenCounts, operations: Operations) -> f64 {
        let Operations { trunk, attention, head } = operations;
        let recomputed = if self.training.gradient_checkpointing { trunk + attention } else { 0.0 };
        // Backward needs two products for each of the two of attention, and computes the scores once more.
        let attention = 3.5 * attention;
        match self.training.tuner.trained_part(self.model) {
            // Frozen weights have no gradient of their own. The head is passed twice: forward, and for the gradient
            // of its input.
            Some(part) => {
                let own = 6.0 * part as f64 * tokens.shared as f64;
                2.0 * trunk + own + attention + 2.0 * head + recomputed
            }
            None => 3.0 * trunk + attention + 4.0 * head + recomputed,
        }
    }

    /// Prompts with a response of `length` tokens each.
    pub fn answered(&self, prompts: &TokenCounts, length: u64) -> TokenCounts {
        let trained = prompts.rows.saturating_mul(length);
        let within = trained.saturating_mul(length + 1) / 2;
        let across = length.saturating_mul(prompts.shared);
        TokenCounts {
            rows: prompts.rows,
            shared: prompts.shared.saturating_add(trained),
            unshared: prompts.shared.saturating_add(trained),
            trained,
            attended: prompts.attended.saturating_add(across).saturating_add(within),
        }
    }
}
