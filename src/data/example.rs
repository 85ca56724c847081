//! Rows as the engine reads them: token ids and what is trained.

/// One prompt and the answers that continue it. The prompt goes through the model once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// Index of the row in its data set as read (0-based, before any shuffle), for keys and errors.
    pub row: usize,
    /// Token ids that all branches share and none trains. May be empty.
    pub prompt: Vec<u32>,
    /// Preference rows: `[chosen, rejected]`; sft rows: one branch.
    pub branches: Vec<Branch>,
}

/// One answer: the tokens after the prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    pub tokens: Vec<u32>,
    /// Whether each token is trained on, `[tokens.len()]`.
    pub trained: Vec<bool>,
}

impl Family {
    /// Tokens as a trainer without shared prompts counts them: the prompt once a branch.
    pub fn tokens_unshared(&self) -> usize {
        self.branches.iter().map(|b| self.prompt.len() + b.tokens.len()).sum()
    }

    /// Tokens that pass through the model: the prompt once.
    pub fn tokens_shared(&self) -> usize {
        self.prompt.len() + self.branches.iter().map(|b| b.tokens.len()).sum::<usize>()
    }
}
