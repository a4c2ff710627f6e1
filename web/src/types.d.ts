/** What the API answers, as far as the page reads it. Times are RFC 3339. */

export interface Ad {
  ad_id: string;
  name: string;
  campaign_id: string;
  advertiser_id: string;
  status: "active" | "paused" | "archived";
  landing_url: string;
}

export interface AdsPage {
  ads: Ad[];
  /** What to send as `after` for the next page; null on the last one. */
  next: string | null;
}

export interface Bucket {
  timestamp: string;
  clicks: number;
  unique_users: number;
  status: "provisional" | "final";
  /** Rises with each correction of final numbers; 0 before the first recount. */
  revision: number;
}

export interface Metrics {
  metrics: Bucket[];
  totals: { clicks: number; unique_users: number };
  /** null until the first count. */
  as_of: string | null;
  /** Everything before was counted again and is final; null until the first hour is. */
  final_through: string | null;
}

export interface Quality {
  received: number;
  counted: number;
  duplicate: number;
  invalid: Record<string, number>;
}

export interface Top {
  top: { ad_id: string; clicks: number; unique_users: number }[];
}

export type View = "chart" | "table";

/** What the address says. */
export interface Place {
  /** Empty means: not chosen yet. */
  ad: string;
  range: string;
  view: View;
}

/** A minute as it is drawn: `startMs` in epoch milliseconds. */
export interface Minute {
  startMs: number;
  clicks: number;
  users: number;
  /** Counted again from the raw events: it changes no more, but for a correction. */
  final: boolean;
}

/** What a poll has brought so far; `retryMs` is how long it waits before it tries again. */
export interface Polled<T> {
  data: T | null;
  error: Error | null;
  retryMs: number;
}
