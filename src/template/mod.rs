//! The chat-template environment.
