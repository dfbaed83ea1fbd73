-- A machine that its provider has deleted while another one of the node may have been made: what it has cost is not forgotten.
ALTER TABLE nodes ADD COLUMN former_instance_id TEXT;
