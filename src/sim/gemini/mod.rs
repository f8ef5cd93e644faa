//! A simulated Gemini Live service.
