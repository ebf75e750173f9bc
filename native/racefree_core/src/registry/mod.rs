//! The registry: who owns a key, who listens to it, and what happens when either dies.
