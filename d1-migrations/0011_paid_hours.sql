-- Spec. What its provider bills at once, where a warm node is to be kept for as long as that is paid; NULL where it is not.
ALTER TABLE nodes ADD COLUMN paid_period_secs INTEGER;
