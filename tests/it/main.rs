//! Tests of the whole system; begin with `path_of_a_call`. Most run in the simulated network of the harness, without sockets and
//! sleeps; `real_*` need programs that `tests/run` installs.

mod cancel;
mod changed_key;
mod chaos;
mod closed_microphone;
mod decline;
mod flood;
mod glare;
mod hang_up;
mod hold;
mod hostile_descriptions;
mod in_call;
mod layers;
mod licences;
mod line_commands;
mod lost_packets;
mod missed_calls;
mod names;
mod no_answer;
mod no_look_up;
mod own_lines;
mod own_record;
mod path_of_a_call;
mod path_table;
mod phone_matrix;
mod pin_on_answer;
#[cfg(test)]
mod presence;
mod reachable_within_ten_minutes;
mod real_browser;
mod real_phones;
mod real_scanners;
mod real_servers;
mod real_sip;
mod real_video;
mod reinvite;
mod relay_down;
mod relay_only;
mod replay_from_seed;
mod same_answer;
mod several_phones;
mod shut_down;
mod silence_in_logs;
mod silent_rings;
mod slow_links;
mod split_view;
mod srtp;
#[cfg(test)]
mod status_page;
mod texts;
mod threats;
mod transfer;
mod turn_refuses;
mod two_calls;
mod units;
mod video;
