//! Whatever goes in comes out byte for byte.
