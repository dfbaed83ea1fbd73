-- What may be ordered for a node, in order, and which of it is the one; region, size and price are those of that one.
-- NULL for nodes from before there were several.
ALTER TABLE nodes ADD COLUMN offers_json TEXT;
ALTER TABLE nodes ADD COLUMN offer_index INTEGER NOT NULL DEFAULT 0;
-- The dearest that may still be made, while it is not known which is: limits of cost count it. NULL from then on.
ALTER TABLE nodes ADD COLUMN dearest_micros_per_hour INTEGER;
