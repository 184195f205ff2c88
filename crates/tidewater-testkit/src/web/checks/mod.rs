//! The checks, each a contract of design that every adapter keeps.

mod asking;
mod authorizing;
mod bad_input;
mod lifecycle;
mod limits;
mod publishing;
mod resuming;

pub use asking::{
    a_compressed_stream_is_whole, an_accept_that_excludes_streams_is_refused, cors_is_for_listed_origins,
    head_and_json_answer_the_cursor, the_bytes_are_the_hubs, the_headers_are_the_endpoints,
    wrong_methods_are_refused,
};
pub use authorizing::{i10_a_stream_ends_when_its_grant_is_over, requests_get_what_they_are_granted};
pub use bad_input::bad_input_is_refused_or_served;
pub use lifecycle::{
    a_client_that_goes_is_noticed, i9_a_stream_while_draining_is_told_to_come_back, i9_shutdown_ends_streams,
    i10_a_source_that_is_down_turns_nobody_away,
};
pub use limits::{
    a_post_over_the_rate_is_refused, a_proxy_that_is_not_trusted_puts_limits_per_address_off,
    i10_a_stream_over_the_limit_is_told_to_come_back,
};
pub use publishing::{a_post_is_refused_for_cause, a_post_publishes};
pub use resuming::{
    i1_the_last_id_resumes_and_the_header_wins, i3_ids_that_cannot_be_served_are_gaps_never_errors,
    selections_narrow_the_stream, since_sets_the_start,
};
