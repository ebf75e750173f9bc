defmodule Racefree.Store.Arguments do
  # What calls of the store take, checked before the native side is asked: a wrong value is an `ArgumentError` that says what it should be.
  #
  # The checks are guards and matches, for calls that take less than a microsecond.
  @moduledoc false

  defguard is_number64(term) when is_integer(term) and term >= 0 and term <= 0xFFFF_FFFF_FFFF_FFFF

  # What `receive` takes.
  defguard is_timeout(term)
           when term == :infinity or (is_integer(term) and term >= 0 and term <= 0xFFFF_FFFF)

  @doc "A transaction's number."
  @spec lsn!(term) :: Racefree.Store.lsn()
  def lsn!(lsn) when is_number64(lsn), do: lsn
  def lsn!(other), do: refuse("an integer from 0 to 2^64 - 1 for the transaction", other)

  @doc "A place in a log."
  @spec offset!(term) :: Racefree.Log.offset()
  def offset!({tx, op} = offset) when is_number64(tx) and is_number64(op), do: offset
  def offset!(other), do: refuse("an offset {tx, op} of two integers from 0 to 2^64 - 1", other)

  @doc "The end of a range."
  @spec upto!(term) :: Racefree.Log.offset() | :end
  def upto!(:end), do: :end
  def upto!(other), do: offset!(other)

  @spec level!(term) :: Racefree.Log.level()
  def level!(level) when level in [:visible, :durable], do: level
  def level!(other), do: refuse(":visible or :durable for the level", other)

  @doc "How long to wait."
  @spec timeout!(term) :: timeout
  def timeout!(timeout) when is_timeout(timeout), do: timeout

  def timeout!(other),
    do: refuse(":infinity or milliseconds from 0 to 2^32 - 1 for the timeout", other)

  @spec refuse(String.t(), term) :: no_return
  defp refuse(expected, got),
    do: raise(ArgumentError, "expected #{expected}, got: #{inspect(got)}")
end
