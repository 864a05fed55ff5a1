//! The laboratory of sound: the same speech over the same bad wires, from phone to phone through two engines, through two rtpengines,
//! and from Chromium to Chromium, each over coturn; what is heard is scored by `score.py`. `report.py` makes table and plot of it.
//!
//! Many calls talk at once, each with losses of its own. Wires are good until the speech begins, so that its first item shows how soon
//! what is lost is repaired, and the others how well.

mod chromium;
mod listeners;
mod paths;
mod rows;
mod speech_phone;

use std::{
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use ringfence_media::Codec;
use ringfence_tests::{
    faulty_wire::{FaultyWire, WireFaults},
    program::{from_pypi, skipped, target_folder},
};
use serde_json::{Value, json};

pub(crate) use self::paths::SpeechPath;
use self::{
    paths::SpeechCarrier,
    rows::LossRow,
    speech_phone::{Murmur, SpeechPhones, talk},
};
use crate::{Plan, phone_bank};

/// Items of speech, and how long each is; `sound.py` has the same.
const ITEMS: usize = 12;
const ITEM: Duration = Duration::from_secs(7);
/// How long it takes at most until a call that has ended is in the list of past calls.
const WRITTEN_WITHIN: Duration = Duration::from_secs(6);
/// What the scripts need, in Python.
const NEEDED: &str =
    "import pesq, espeakng_loader, G722, scipy, ctypes; ctypes.CDLL('libopus.so.0')";
/// What the short form asks for: PESQ of a clean wire, and of one that loses a tenth.
const LEAST: [(&str, f64); 2] = [("clean", 3.7), ("10 %", 3.6)];

/// How much is said in each row.
#[derive(Clone, Copy, Debug)]
struct Form {
    calls: usize,
    items: usize,
    is_unrepaired: bool,
}

/// Records and scores.
pub(crate) fn measure(plan: &Plan) {
    let is_brief = plan.is_brief();
    let form = match is_brief {
        true => Form {
            calls: 6,
            items: 2,
            is_unrepaired: false,
        },
        false => Form {
            calls: plan.talks,
            items: 3,
            is_unrepaired: plan.unrepaired,
        },
    };
    let Some(folder) = speech() else {
        return;
    };
    let paths = match is_brief {
        true => &[SpeechPath::Pcmu][..],
        false => &plan.paths,
    };
    let is_measured = |row: &LossRow, path| match plan.rows.is_empty() {
        _ if is_brief => LEAST.iter().any(|(name, _)| *name == row.name),
        true => row.is_usual(path),
        false => plan.rows.iter().any(|name| name == row.name),
    };
    let mut scoring = None;
    let start = Instant::now();
    for path in paths {
        let unrepaired = if form.is_unrepaired {
            "-unrepaired"
        } else {
            ""
        };
        let name = format!("{}{unrepaired}", path.name());
        let here = folder.join(&name);
        fs::create_dir_all(&here).expect("the target folder is ours");
        let Some((mut carrier, wires)) = path.start() else {
            continue;
        };
        let rows = rows::all().into_iter();
        for row in rows.filter(|row| is_measured(row, *path)) {
            let began = Instant::now();
            carrier.run(*path, &row, form, &wires, &here);
            let (took, passed) = (began.elapsed().as_secs(), start.elapsed().as_secs());
            println!("{}, {}: {took} s; {passed} s so far", name, row.name);
        }
        if is_brief {
            carrier.check_history();
        }
        drop((carrier, wires));
        // The calls of one path are scored while those of the next talk.
        scoring.take().map(finish);
        scoring = Some(score(&folder, &name, is_brief));
    }
    if let Some(printed) = scoring.map(finish)
        && is_brief
    {
        judge(&serde_json::from_slice::<Vec<_>>(&printed).expect("the scorer prints JSON"));
    }
}

impl SpeechCarrier {
    /// Sets calls up, lets them talk over a row's wires, and writes down what was heard.
    fn run(
        &mut self,
        path: SpeechPath,
        row: &LossRow,
        form: Form,
        wires: &[FaultyWire; 2],
        here: &Path,
    ) {
        let count = match self {
            Self::Listeners { listeners, .. } => listeners.len(),
            _ => form.calls,
        };
        let items: Vec<Vec<usize>> = (0..count)
            .map(|call| {
                let places = 0..form.items;
                // Those that have been round once begin one item later, so that each item is also said when a loss has lasted.
                let first = call * form.items + call * form.items / ITEMS;
                places.map(|place| (first + place) % ITEMS).collect()
            })
            .collect();
        // What the phones lose themselves.
        let own = row.phases.first().filter(|_| form.is_unrepaired);
        let own = own.map(|(_, [near, _])| *near);
        let mut phase = 0;
        let mut tell = |spoken: Duration| {
            while let Some((from, faults)) = row.phases.get(phase)
                && *from <= spoken
                && own.is_none()
            {
                set(wires, *faults);
                phase += 1;
            }
        };
        let mut described = json!({ "row": row.name, "recorded": path.recorded(), "items": items });
        if let Self::Browser(pairs) = self {
            pairs.talk(&items, ITEM, &mut tell, &mut described, here);
        } else if let Self::Listeners {
            bank, listeners, ..
        } = self
        {
            let calls = phones("pcmu", path.codec(), &items, own);
            let folder = (row.name, here);
            listeners::listen((bank, listeners), calls, tell, wires, folder);
        } else {
            let mut calls = phones(path.recorded(), path.codec(), &items, own);
            let (arrivals, spoken) = self.call(&mut calls, |calls| talk(calls, tell), wires);
            speech_phone::write(&here.join(format!("{}.rec", row.name)), &arrivals);
            let spoken = spoken.iter().map(Duration::as_secs_f64);
            described["spoken"] = json!(spoken.collect::<Vec<_>>());
        }
        set(wires, Default::default());
        let path = here.join(format!("{}.json", row.name));
        fs::write(path, described.to_string()).expect("the target folder is ours");
    }

    /// Lets all phones talk in calls, which end over wires that are good again.
    fn call<T>(
        &mut self,
        phones: &mut [SpeechPhones],
        talk: impl FnOnce(&mut [SpeechPhones]) -> T,
        wires: &[FaultyWire; 2],
    ) -> T {
        match self {
            Self::Engines { phones: both, .. } => {
                let [from, to] = &mut **both;
                let calls = set_up(phones, |ends| phone_bank::call(from, to, ends));
                let heard = talk(phones);
                set(wires, Default::default());
                phone_bank::hang_up_all(from, to, &calls);
                heard
            }
            Self::Relays(relays) => {
                let calls = set_up(phones, |ends| relays.call(ends));
                let heard = talk(phones);
                set(wires, Default::default());
                for call in &calls {
                    relays.hang_up(call);
                }
                heard
            }
            Self::Browser(_) | Self::Listeners { .. } => talk(phones),
        }
    }
}

impl SpeechCarrier {
    /// The callee's engine says of each past call how it sounded: some lost a tenth, most of which was repaired, and the others nothing.
    fn check_history(&self) {
        let Self::Engines { pair, .. } = self else {
            return;
        };
        thread::sleep(WRITTEN_WITHIN);
        let said = pair.ask(1, &["calls", "--json", "--config", "ringfence.toml"]);
        let said: Value = serde_json::from_str(&said).expect("it prints JSON");
        let calls = said["calls"].as_array().expect("a list of calls");
        let figure = |call: &Value, name: &str| call["sound"][name].as_f64();
        let lossy: Vec<_> = calls
            .iter()
            .filter(|call| figure(call, "lost_on_way").is_some_and(|share| share > 0.05))
            .collect();
        assert_eq!((calls.len(), lossy.len()), (12, 6), "{said}");
        for call in lossy {
            let [lost, repaired, missed, delay] =
                ["lost_on_way", "repaired", "missed", "buffer_ms"]
                    .map(|name| figure(call, name).unwrap_or(f64::NAN));
            assert!(
                lost < 0.2 && repaired > lost / 2.0 && missed < lost / 2.0,
                "{call}"
            );
            assert!(
                delay > 8.0 && figure(call, "mos").is_some_and(|mos| mos > 3.0),
                "{call}"
            );
        }
    }
}

/// Sets calls up one after the other; the phones of each say silence from then on.
fn set_up<T>(phones: &mut [SpeechPhones], mut call: impl FnMut([&UdpSocket; 2]) -> T) -> Vec<T> {
    let both = phones.iter().map(|it| {
        let call = call(it.sockets.each_ref());
        (call, it.murmur())
    });
    let (calls, murmurs): (Vec<_>, Vec<_>) = both.unzip();
    murmurs.iter().for_each(Murmur::stop);
    for (phones, murmur) in phones.iter_mut().zip(murmurs) {
        phones.go_on(murmur);
    }
    calls
}

fn set(wires: &[FaultyWire; 2], faults: [WireFaults; 2]) {
    for (wire, faults) in wires.iter().zip(faults) {
        wire.set(faults);
    }
}

/// The folder with the speech, which is made once; `None` if a program is missing.
fn speech() -> Option<PathBuf> {
    let folder = target_folder().join("quality");
    let has_scorer = Command::new(from_pypi("python"))
        .args(["-c", NEEDED])
        .stderr(Stdio::null())
        .status();
    if !has_scorer.is_ok_and(|status| status.success()) {
        skipped(
            "PESQ and the voices from PyPI are not in the target folder, or Debian's libopus0 is missing",
        );
        return None;
    }
    let speech = folder.join("speech");
    finish(start("speech.py", &[&speech.display().to_string()]));
    Some(folder)
}

/// The phones of each call, which say its items as they were encoded, but for what they lose.
fn phones(
    encoded: &str,
    codec: Codec,
    items: &[Vec<usize>],
    own: Option<WireFaults>,
) -> Vec<SpeechPhones> {
    let speech = target_folder().join("quality/speech");
    let item = |item: &usize| {
        let read = fs::read(speech.join(format!("{item}.{encoded}")));
        read.expect("the speech was made")
    };
    let calls = (0..).zip(items).map(|(seed, items)| {
        let said = items.iter().flat_map(item).collect();
        let mut phones = SpeechPhones::new(codec, said);
        if let Some(faults) = own {
            phones.lose(seed, faults);
        }
        phones
    });
    calls.collect()
}

fn score(folder: &Path, path: &str, is_brief: bool) -> (&'static str, Child) {
    let folder = folder.display().to_string();
    let brief = is_brief.then_some("--brief");
    let arguments: Vec<_> = [folder.as_str(), path].into_iter().chain(brief).collect();
    start("score.py", &arguments)
}

/// A script of the laboratory; its table goes to standard error.
fn start(script: &'static str, arguments: &[&str]) -> (&'static str, Child) {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "quality"].iter().collect();
    // -B: Python must not write bytecode beside the script.
    let mut command = Command::new(from_pypi("python"));
    command.arg("-B").arg(folder.join(script)).args(arguments);
    let child = command.stdout(Stdio::piped()).spawn();
    (script, child.expect("it is installed"))
}

/// What a script printed.
fn finish((script, child): (&'static str, Child)) -> Vec<u8> {
    let output = child.wait_with_output().expect("it is ours");
    assert!(output.status.success(), "{script} failed");
    output.stdout
}

fn judge(scores: &[Value]) {
    for (name, least) in LEAST {
        let row = scores.iter().find(|row| row["row"] == name);
        let score = row.and_then(|row| row["nb"].as_f64());
        assert!(
            score.is_some_and(|score| score >= least),
            "{name}: {score:?}, not {least}"
        );
    }
}
