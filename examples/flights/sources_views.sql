-- What is made when the rows are there: a foreign key is checked faster at once than row by row.

ALTER TABLE flights ADD FOREIGN KEY (carrier) REFERENCES airlines;

CREATE VIEW carrier_flights AS
    SELECT carrier, airlines.name, count(*) AS flights, count(*) FILTER (WHERE dep_time IS NULL) AS cancelled
    FROM flights JOIN airlines USING (carrier)
    GROUP BY carrier, airlines.name;
COMMENT ON VIEW carrier_flights IS 'Flights and cancelled flights of the year by carrier.';

CREATE MATERIALIZED VIEW busiest_destinations AS
    SELECT dest, airports.name, count(*) AS flights, rank() OVER (ORDER BY count(*) DESC) AS place
    FROM flights LEFT JOIN airports ON faa = dest
    GROUP BY dest, airports.name;
CREATE UNIQUE INDEX ON busiest_destinations (dest);
COMMENT ON MATERIALIZED VIEW busiest_destinations IS 'Destinations by the number of flights.';

ANALYZE airlines, airports, planes, weather, flights, busiest_destinations;
