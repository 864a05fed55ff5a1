//! Tests of the whole: `real_*` need programs that `tests/run` installs.

mod cancel;
mod closed_microphone;
mod decline;
mod flood;
mod glare;
mod hang_up;
mod hostile_descriptions;
mod layers;
mod lost_packets;
mod no_answer;
mod no_look_up;
mod own_lines;
mod path_of_a_call;
mod real_browser;
mod real_servers;
mod real_sip;
mod reinvite;
mod relay_down;
mod relay_only;
mod replay_from_seed;
mod same_answer;
mod several_phones;
mod shut_down;
mod silent_rings;
mod turn_refuses;
mod two_calls;
