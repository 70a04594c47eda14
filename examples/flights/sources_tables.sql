-- The tables of one airport's database. {origin} is the airport's code.
-- year, month, day and hour are local (New York) time, time_hour is UTC: one day is local_date, never time_hour::date.

CREATE TABLE airlines (
    carrier text PRIMARY KEY,
    name text NOT NULL
);
COMMENT ON TABLE airlines IS 'Airlines by their two-letter carrier code.';
COMMENT ON COLUMN airlines.carrier IS 'Two-letter code of the carrier.';

CREATE TABLE airports (
    faa text PRIMARY KEY,
    name text NOT NULL,
    lat numeric(10, 7) NOT NULL,
    lon numeric(10, 7) NOT NULL,
    alt integer NOT NULL,
    tz smallint NOT NULL,
    dst text NOT NULL,
    tzone text
);
COMMENT ON TABLE airports IS 'Airports of the United States. Some destinations (San Juan, for one) are not among them.';
COMMENT ON COLUMN airports.faa IS 'FAA code of the airport.';
COMMENT ON COLUMN airports.alt IS 'Altitude in feet.';
COMMENT ON COLUMN airports.tz IS 'Hours from UTC, without daylight saving.';
COMMENT ON COLUMN airports.dst IS 'Daylight saving: A as in the US, N none, U unknown.';
COMMENT ON COLUMN airports.tzone IS 'IANA time zone.';

CREATE TABLE planes (
    tailnum text PRIMARY KEY,
    year smallint,
    type text NOT NULL,
    manufacturer text NOT NULL,
    model text NOT NULL,
    engines smallint NOT NULL,
    seats smallint NOT NULL,
    speed smallint,
    engine text NOT NULL
);
COMMENT ON TABLE planes IS 'Planes by tail number. One flight in six is of a plane that is not here.';
COMMENT ON COLUMN planes.year IS 'Year of manufacture.';
COMMENT ON COLUMN planes.speed IS 'Cruising speed in miles per hour.';

CREATE TABLE weather (
    origin text NOT NULL CHECK (origin = {origin}),
    local_date date NOT NULL CHECK (local_date = make_date(year, month, day)),
    year smallint NOT NULL,
    month smallint NOT NULL,
    day smallint NOT NULL,
    hour smallint NOT NULL,
    temp numeric(5, 2),
    dewp numeric(5, 2),
    humid numeric(5, 2),
    wind_dir smallint,
    wind_speed double precision,
    wind_gust double precision,
    precip numeric(5, 2),
    pressure numeric(6, 1),
    visib numeric(5, 2),
    time_hour timestamptz NOT NULL,
    -- Not (local_date, hour): on 2013-11-03 the clock goes back and the hour from 1 to 2 is lived twice.
    PRIMARY KEY (origin, time_hour)
);
CREATE INDEX weather_by_day ON weather (local_date);
COMMENT ON TABLE weather IS 'Hourly observations at this airport. Hours are missing, and all of 2013-12-31.';
COMMENT ON COLUMN weather.local_date IS 'Local date of the observation.';
COMMENT ON COLUMN weather.hour IS 'Local hour; not unique on the day when the clock goes back.';
COMMENT ON COLUMN weather.temp IS 'Temperature in Fahrenheit.';
COMMENT ON COLUMN weather.dewp IS 'Dew point in Fahrenheit.';
COMMENT ON COLUMN weather.humid IS 'Relative humidity in percent.';
COMMENT ON COLUMN weather.wind_dir IS 'Wind direction in degrees.';
COMMENT ON COLUMN weather.wind_speed IS 'Wind speed in miles per hour.';
COMMENT ON COLUMN weather.wind_gust IS 'Gust speed in miles per hour.';
COMMENT ON COLUMN weather.precip IS 'Precipitation in inches.';
COMMENT ON COLUMN weather.pressure IS 'Sea-level pressure in millibars.';
COMMENT ON COLUMN weather.visib IS 'Visibility in miles.';
COMMENT ON COLUMN weather.time_hour IS 'The hour of the observation, UTC.';

CREATE TABLE flights (
    local_date date NOT NULL CHECK (local_date = make_date(year, month, day)),
    year smallint NOT NULL,
    month smallint NOT NULL,
    day smallint NOT NULL,
    dep_time smallint,
    sched_dep_time smallint NOT NULL,
    dep_delay smallint,
    arr_time smallint,
    sched_arr_time smallint NOT NULL,
    arr_delay smallint,
    carrier text NOT NULL,
    flight integer NOT NULL,
    tailnum text,
    origin text NOT NULL CHECK (origin = {origin}),
    dest text NOT NULL,
    air_time smallint,
    distance integer NOT NULL,
    hour smallint NOT NULL,
    minute smallint NOT NULL,
    time_hour timestamptz NOT NULL,
    PRIMARY KEY (local_date, carrier, flight)
) PARTITION BY RANGE (local_date);
COMMENT ON TABLE flights IS 'Departures from this airport in 2013, cancelled ones included, in a partition per month.';
COMMENT ON COLUMN flights.local_date IS 'Local date of the scheduled departure.';
COMMENT ON COLUMN flights.dep_time IS 'Actual departure, local, as HHMM; null: cancelled.';
COMMENT ON COLUMN flights.sched_dep_time IS 'Scheduled departure, local, as HHMM.';
COMMENT ON COLUMN flights.dep_delay IS 'Departure delay in minutes; negative: early.';
COMMENT ON COLUMN flights.arr_delay IS 'Arrival delay in minutes; null: cancelled or diverted.';
COMMENT ON COLUMN flights.tailnum IS 'Tail number; not every one is in planes.';
COMMENT ON COLUMN flights.dest IS 'FAA code of the destination; not every one is in airports.';
COMMENT ON COLUMN flights.air_time IS 'Minutes in the air.';
COMMENT ON COLUMN flights.distance IS 'Distance in miles.';
COMMENT ON COLUMN flights.time_hour IS 'The hour of the scheduled departure, UTC: often the next day.';

DO $$
BEGIN
    FOR month IN 1..12 LOOP
        EXECUTE format(
            'CREATE TABLE flights_2013_%s PARTITION OF flights FOR VALUES FROM (%L) TO (%L)',
            to_char(month, 'FM00'), make_date(2013, month, 1), make_date(2013, month, 1) + interval '1 month');
    END LOOP;
END $$;
