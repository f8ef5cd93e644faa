//! A simulated carrier: signs, follows the TwiML, plays a recorded caller, keeps the playout buffer.
