//! WAV files (RIFF, 16-bit PCM), which real phones play and record.
//!
//! Only the first channel is read. A phone that is killed leaves a header whose sizes are zero or too large; such a file is read
//! to its end. Compressed formats are not supported.

use std::{fs, io, path::Path};

/// One channel of audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioClip {
    /// Samples per second.
    pub rate: u32,
    /// The samples, in order.
    pub samples: Vec<i16>,
}

/// Why a file could not be read as audio.
#[derive(Debug)]
#[non_exhaustive]
pub enum WavError {
    /// The file could not be read at all.
    File(io::Error),
    /// It is not a RIFF/WAVE file with 16-bit PCM samples.
    NotPcm,
}

const PCM: u16 = 1;
const EXTENSIBLE: u16 = 0xfffe;

impl AudioClip {
    /// Writes a one-channel file.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let data: Vec<u8> = self
            .samples
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        let size = u32::try_from(data.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut file = Vec::with_capacity(44 + data.len());
        file.extend_from_slice(b"RIFF");
        file.extend_from_slice(&(size + 36).to_le_bytes());
        file.extend_from_slice(b"WAVEfmt ");
        file.extend_from_slice(&16u32.to_le_bytes());
        file.extend_from_slice(&PCM.to_le_bytes());
        file.extend_from_slice(&1u16.to_le_bytes()); // channels
        file.extend_from_slice(&self.rate.to_le_bytes());
        file.extend_from_slice(&(self.rate * 2).to_le_bytes()); // bytes per second
        file.extend_from_slice(&2u16.to_le_bytes()); // bytes per frame
        file.extend_from_slice(&16u16.to_le_bytes()); // bits per sample
        file.extend_from_slice(b"data");
        file.extend_from_slice(&size.to_le_bytes());
        file.extend_from_slice(&data);
        fs::write(path, file)
    }

    /// Reads the first channel of a file.
    pub fn read(path: &Path) -> Result<Self, WavError> {
        Self::parse(&fs::read(path).map_err(WavError::File)?)
    }

    fn parse(file: &[u8]) -> Result<Self, WavError> {
        let mut rest = match file.strip_prefix(b"RIFF") {
            Some(rest) if rest.get(4..8) == Some(b"WAVE") => &rest[8..],
            _ => return Err(WavError::NotPcm),
        };
        let mut format = None;
        while let Some((head, body)) = rest.split_at_checked(8) {
            let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
            let (chunk, after) = body.split_at_checked(size).unwrap_or((body, &[]));
            match &head[..4] {
                b"fmt " => format = Some(Format::parse(chunk)?),
                b"data" => {
                    let Format { rate, channels } = format.ok_or(WavError::NotPcm)?;
                    let data = if size == 0 { body } else { chunk };
                    let samples = data
                        .chunks_exact(2 * channels)
                        .map(|frame| i16::from_le_bytes([frame[0], frame[1]]));
                    return Ok(Self {
                        rate,
                        samples: samples.collect(),
                    });
                }
                _ => {}
            }
            rest = after.get(size % 2..).unwrap_or(&[]);
        }
        Err(WavError::NotPcm)
    }
}

struct Format {
    rate: u32,
    channels: usize,
}

impl Format {
    fn parse(chunk: &[u8]) -> Result<Self, WavError> {
        let Some(
            &[
                kind_low,
                kind_high,
                channels_low,
                channels_high,
                r0,
                r1,
                r2,
                r3,
            ],
        ) = chunk.first_chunk::<8>()
        else {
            return Err(WavError::NotPcm);
        };
        let kind = u16::from_le_bytes([kind_low, kind_high]);
        let channels = usize::from(u16::from_le_bytes([channels_low, channels_high]));
        if !(kind == PCM || kind == EXTENSIBLE)
            || channels == 0
            || chunk.get(14..16) != Some(&[16, 0])
        {
            return Err(WavError::NotPcm);
        }
        Ok(Self {
            rate: u32::from_le_bytes([r0, r1, r2, r3]),
            channels,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(sound: &AudioClip) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sound.wav");
        sound.write(&path).unwrap();
        fs::read(path).unwrap()
    }

    #[test]
    fn what_was_written_is_read() {
        let sound = AudioClip {
            rate: 16_000,
            samples: vec![0, 1, -1, i16::MAX, i16::MIN],
        };
        assert_eq!(AudioClip::parse(&stored(&sound)).unwrap(), sound);
    }

    #[test]
    fn an_incomplete_header_does_not_hide_the_audio() {
        let sound = AudioClip {
            rate: 8_000,
            samples: vec![7; 100],
        };
        let mut file = stored(&sound);
        file[40..44].fill(0);
        assert_eq!(AudioClip::parse(&file).unwrap(), sound);
        file[40..44].fill(0xff);
        assert_eq!(AudioClip::parse(&file).unwrap(), sound);
    }

    #[test]
    fn a_file_cut_anywhere_is_no_panic() {
        let file = stored(&AudioClip {
            rate: 8_000,
            samples: vec![7; 10],
        });
        for length in 0..file.len() {
            let _ = AudioClip::parse(&file[..length]);
        }
    }
}
