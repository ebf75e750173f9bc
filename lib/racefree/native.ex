defmodule Racefree.Native do
  # The native library: stubs that loading replaces, and nothing else. `Racefree.Registry` and `Racefree.Store` alone call it.
  #
  # A function whose name ends in `_dirty` is the one before it for a dirty scheduler, for terms that are too large for a normal one.
  @moduledoc false

  # Loaded when it is first called: its library is built after it is compiled.
  @compile {:autoload, false}
  @on_load :load

  def load do
    path = Racefree.NativeLibrary.load_path(:racefree_nif)

    # An error unloads this module, or leaves the loaded one as it was when this is a second loading.
    with {:error, {reason, text}} <- :erlang.load_nif(path, 0) do
      {:error,
       {reason,
        "#{text}. `mix compile` in the project that depends on :racefree builds the library #{path}."}}
    end
  end

  @spec version() :: String.t()
  def version, do: not_loaded()

  def registry_open(_name, _shards, _listeners, _report), do: not_loaded()
  def registry_close(_name), do: not_loaded()

  def registry_lookup(_name, _key), do: not_loaded()
  def registry_lookup_dirty(_name, _key), do: not_loaded()
  def registry_reach(_name, _key), do: not_loaded()
  def registry_reach_dirty(_name, _key), do: not_loaded()
  def registry_locate(_name, _key), do: not_loaded()
  def registry_locate_dirty(_name, _key), do: not_loaded()
  def registry_register(_name, _key, _value), do: not_loaded()
  def registry_register_dirty(_name, _key, _value), do: not_loaded()
  def registry_unregister(_name, _key), do: not_loaded()
  def registry_unregister_dirty(_name, _key), do: not_loaded()
  def registry_put_value(_name, _key, _value), do: not_loaded()
  def registry_put_value_dirty(_name, _key, _value), do: not_loaded()
  def registry_evict(_name, _key, _generation), do: not_loaded()
  def registry_evict_dirty(_name, _key, _generation), do: not_loaded()

  def registry_subscribe(_name, _key, _generation, _reference), do: not_loaded()
  def registry_subscribe_dirty(_name, _key, _generation, _reference), do: not_loaded()
  def registry_unsubscribe(_name, _id), do: not_loaded()
  def registry_broadcast(_name, _key, _message, _cursor), do: not_loaded()
  def registry_broadcast_dirty(_name, _key, _message, _cursor), do: not_loaded()

  def registry_enter(_name, _key, _reference), do: not_loaded()
  def registry_enter_dirty(_name, _key, _reference), do: not_loaded()
  def registry_publish(_name, _key, _lead, _pid, _value), do: not_loaded()
  def registry_publish_dirty(_name, _key, _lead, _pid, _value), do: not_loaded()
  def registry_abandon(_name, _lead, _reason), do: not_loaded()
  def registry_abandon_dirty(_name, _lead, _reason), do: not_loaded()
  def registry_resign(_name, _lead), do: not_loaded()
  def registry_cancel_wait(_name, _wait), do: not_loaded()

  def registry_begin_remove(_name, _key, _reason), do: not_loaded()
  def registry_begin_remove_dirty(_name, _key, _reason), do: not_loaded()
  def registry_finish_remove(_name, _id), do: not_loaded()

  def registry_count(_name), do: not_loaded()
  def registry_info(_name), do: not_loaded()
  def registry_keys(_name, _pid, _cursor), do: not_loaded()
  def registry_listing, do: not_loaded()
  def registry_select(_name, _listing), do: not_loaded()
  def registry_removals(_name, _listing), do: not_loaded()

  def store_open(_dir, _settings), do: not_loaded()
  def store_open_read_only(_dir, _settings), do: not_loaded()
  def store_salvage(_from, _to, _settings), do: not_loaded()
  def store_close(_service, _drain_ms), do: not_loaded()
  def store_begin_drain(_service), do: not_loaded()
  def store_log(_service, _key), do: not_loaded()
  def store_find(_service, _key), do: not_loaded()
  def store_keys(_service), do: not_loaded()
  def store_commit(_service, _lsn), do: not_loaded()
  def store_abort(_service, _lsn), do: not_loaded()
  def store_append(_lease, _lsn, _records, _meta), do: not_loaded()
  def store_append_dirty(_lease, _lsn, _records, _meta), do: not_loaded()
  def store_transact(_service, _lsn, _writes), do: not_loaded()
  def store_transact_dirty(_service, _lsn, _writes), do: not_loaded()
  def store_lease(_log), do: not_loaded()
  def store_release(_lease), do: not_loaded()
  def store_read(_log, _range), do: not_loaded()
  def store_read_dirty(_log, _range), do: not_loaded()
  def store_reader(_log, _level), do: not_loaded()
  def store_reader_read(_reader, _range), do: not_loaded()
  def store_reader_read_dirty(_reader, _range), do: not_loaded()
  def store_reader_meta(_reader), do: not_loaded()
  def store_meta(_log, _level), do: not_loaded()
  def store_snapshot(_service, _logs, _level), do: not_loaded()
  def store_lsns(_service), do: not_loaded()
  def store_await(_service, _what, _reference), do: not_loaded()
  def store_cancel(_wait), do: not_loaded()
  def store_follow(_service, _reference), do: not_loaded()
  def store_unfollow(_following), do: not_loaded()
  def store_trim(_log, _upto), do: not_loaded()
  def store_trimmed(_log), do: not_loaded()
  def store_begin_remove(_log), do: not_loaded()
  def store_removal(_service, _key), do: not_loaded()
  def store_finish_remove(_removal), do: not_loaded()
  def store_info(_service), do: not_loaded()
  def store_verify(_service), do: not_loaded()

  defp not_loaded, do: :erlang.nif_error(:nif_not_loaded)
end
