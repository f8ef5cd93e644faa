//! Every failure that is known, with what is done about it.

use rstest::rstest;

use super::*;

fn closed(code: u16, reason: &str) -> Failure {
    Failure::Closed { code, reason: reason.to_owned() }
}

fn verdicts(failure: &Failure, is_set_up: bool) -> [Verdict; 3] {
    [0, 1, 2].map(|repeats| failure.verdict(Situation { is_set_up, has_handle: false, repeats }))
}

const R: Verdict = Resume;
const N: Verdict = Fresh;
const W: Verdict = Wait;
const F: Verdict = Fatal;

/// Code, reason as the service words it, and the verdicts at the first, second and third time in a row before
/// `setupComplete` and after it.
#[rstest]
#[case(1000, "", [R, R, R], [R, R, R])]
#[case(1001, "going away", [R, R, R], [R, R, R])]
#[case(1005, "", [R, R, R], [R, R, R])]
#[case(1006, "", [R, R, R], [R, R, R])]
#[case(1007, "Invalid JSON payload received. Unknown name \"proactivity\" at 'setup': Cannot find field.", [F, F, F], [F, F, F])]
#[case(1007, "API key not valid. Please pass a valid API key.", [F, F, F], [F, F, F])]
#[case(1007, "User location is not supported for the API use.", [F, F, F], [F, F, F])]
#[case(1007, "The requested combination of response modalities (TEXT) is not supported by the model.", [F, F, F], [F, F, F])]
#[case(1007, "Thinking level MINIMAL is not supported for this model.", [F, F, F], [F, F, F])]
#[case(1007, "BLOCKING function calls are not supported for this model", [F, F, F], [F, F, F])]
#[case(1007, "Function response scheduling is not supported for this model", [F, F, F], [F, F, F])]
#[case(1007, "Code Execution tool is not supported", [F, F, F], [F, F, F])]
#[case(1007, "realtime_input.media_chunks is deprecated. Use audio, video, or text instead.", [F, F, F], [F, F, F])]
#[case(1007, "setup must be the first message and only the first", [F, F, F], [F, F, F])]
#[case(1007, "Precondition check failed.", [F, F, F], [N, F, F])]
#[case(1007, "CONTENT_TYPE_AUDIO is not supported for this model", [F, F, F], [F, F, F])]
#[case(1007, "Audio must be 16khz s16le pcm, mono channel", [R, F, F], [R, F, F])]
#[case(1007, "Invalid session handle", [N, N, N], [N, N, N])]
#[case(1007, "Request contains an invalid argument.", [F, F, F], [N, F, F])]
#[case(1007, "something new", [F, F, F], [N, F, F])]
#[case(1008, "models/x is not found for API version v1beta, or is not supported for bidiGenerateContent. Call ListMo", [F, F, F], [F, F, F])]
#[case(1008, "model x is not supported for bidiGenerateContent", [F, F, F], [F, F, F])]
#[case(1008, "Operation is not implemented, or supported, or enabled.", [R, N, F], [R, N, F])]
#[case(1008, "BidiGenerateContent session not found", [N, N, N], [N, N, N])]
#[case(1008, "Requested entity was not found.", [N, N, N], [N, N, N])]
#[case(1008, "The operation was aborted.", [R, R, R], [R, R, R])]
#[case(1008, "Method doesn't allow unregistered callers", [F, F, F], [F, F, F])]
#[case(1008, "Your project has been denied access.", [F, F, F], [F, F, F])]
#[case(1008, "The caller does not have permission", [F, F, F], [F, F, F])]
#[case(1008, "Please use a valid API key", [F, F, F], [F, F, F])]
#[case(1008, "RESOURCE_EXHAUSTED", [W, W, W], [W, W, W])]
#[case(1008, "", [F, F, F], [N, F, F])]
#[case(1009, "message too big", [F, F, F], [F, F, F])]
#[case(1011, "You exceeded your current quota, please check your plan and billing details.", [W, W, W], [W, W, W])]
#[case(1011, "Resource_Exhausted: concurrent sessions", [W, W, W], [W, W, W])]
#[case(1011, "Deadline expired before operation could complete.", [R, R, R], [R, R, R])]
#[case(1011, "Internal error encountered.", [R, N, F], [R, N, F])]
#[case(1011, "The service is currently unavailable.", [R, R, R], [R, R, R])]
#[case(1011, "Thread was cancelled when writing StartStep status", [R, R, R], [R, R, R])]
#[case(1011, "keepalive ping timeout; no close frame received", [R, R, R], [R, R, R])]
#[case(1011, "", [R, N, F], [R, N, F])]
#[case(1012, "service restart", [R, R, R], [R, R, R])]
#[case(1013, "try again later", [R, R, R], [R, R, R])]
#[case(4000, "of somebody's own", [R, N, F], [R, N, F])]
fn every_close_has_its_verdicts(
    #[case] code: u16,
    #[case] reason: &str,
    #[case] before: [Verdict; 3],
    #[case] after: [Verdict; 3],
) {
    let failure = closed(code, reason);
    assert_eq!((verdicts(&failure, false), verdicts(&failure, true)), (before, after));
}

#[rstest]
#[case(400, F)]
#[case(401, F)]
#[case(403, F)]
#[case(404, F)]
#[case(408, R)]
#[case(418, F)]
#[case(429, W)]
#[case(500, R)]
#[case(502, R)]
#[case(503, R)]
#[case(504, R)]
#[case(302, F)]
fn every_status_at_the_upgrade_has_its_verdict(#[case] status: u16, #[case] expected: Verdict) {
    assert_eq!(verdicts(&Failure::refused(status), false), [expected; 3]);
}

#[rstest]
#[case(Failure::Unreachable { message: "dns".into() }, [R, R, R])]
#[case(Failure::ConnectTimeout, [R, R, R])]
#[case(Failure::Unauthorised { message: "no token".into() }, [F, F, F])]
#[case(Failure::BreakerOpen, [W, W, W])]
#[case(Failure::SetupTimeout, [F, F, F])]
#[case(Failure::Broken { message: "reset".into() }, [R, R, R])]
#[case(Failure::Stalled, [R, R, R])]
#[case(Failure::Mute, [R, N, F])]
#[case(Failure::Garbled, [R, N, F])]
#[case(Failure::Reported { code: 429, message: String::new() }, [W, W, W])]
#[case(Failure::Reported { code: 8, message: String::new() }, [W, W, W])]
#[case(Failure::Reported { code: 503, message: String::new() }, [R, R, R])]
#[case(Failure::Reported { code: 403, message: String::new() }, [F, F, F])]
#[case(Failure::Reported { code: 13, message: "Internal error".into() }, [R, N, F])]
#[case(Failure::Reported { code: 3, message: "invalid session handle".into() }, [N, N, N])]
fn every_other_failure_has_its_verdicts(#[case] failure: Failure, #[case] expected: [Verdict; 3]) {
    assert_eq!(verdicts(&failure, false), expected);
}

#[rstest]
#[case(closed(1007, "Request contains an invalid argument."), N)]
#[case(closed(1008, ""), N)]
#[case(Failure::SetupTimeout, N)]
#[case(closed(1007, "API key not valid."), F)]
#[case(Failure::refused(404), F)]
fn a_setup_that_is_refused_with_a_handle_is_tried_once_without(
    #[case] failure: Failure,
    #[case] expected: Verdict,
) {
    let situation = Situation { is_set_up: false, has_handle: true, repeats: 0 };
    assert_eq!(failure.verdict(situation), expected);
}

#[test]
fn failures_of_one_cause_are_repetitions_whatever_their_words() {
    let internal = closed(1011, "Internal error encountered.");
    assert!(internal.is_like(&closed(1011, "internal error. Please retry.")));
    assert!(!internal.is_like(&closed(1011, "The service is currently unavailable.")));
}
