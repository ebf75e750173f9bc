defmodule Racefree.StoreScript do
  @moduledoc """
  What `Racefree.StoreCrash` writes, as a function of the seed and the transaction's number: who knows how far a child got knows what must be there.

  After its commit a transaction may be followed by events, in this order: a trim, the beginning of a removal, the end of one. They depend on what is being removed then.
  """

  @logs 100

  @type key :: pos_integer
  @type event :: {:trim, key, upto :: pos_integer} | {:begin, key} | {:finish, key}

  defmodule Model do
    @moduledoc "A store: the last transaction, and of each log after which one its life began, up to which one it is trimmed, and whether it is being removed."
    defstruct lsn: 0, since: %{}, trimmed: %{}, removing: MapSet.new()
  end

  def keys, do: 1..@logs

  @doc "How the transaction is written: in one call, in parts that stay open for a moment, or after an aborted attempt."
  def way(seed, lsn),
    do: elem({:parts, :aborted, :whole, :whole, :whole, :whole}, draw(seed, lsn, :way, 6))

  @doc "Whether the log takes part: a tenth do, with one to five records and a meta."
  def written?(seed, lsn, key), do: draw(seed, lsn, key, 10) == 0

  def records(seed, lsn, key) do
    if written?(seed, lsn, key),
      do: for(op <- 0..:erlang.phash2({lsn, key}, 5), do: payload(lsn, key, op)),
      else: []
  end

  defp payload(lsn, key, op),
    do: :binary.copy("#{lsn}.#{key}.#{op} ", 1 + :erlang.phash2({lsn, op}, 30))

  @doc "What follows the commit of `lsn`, while `removing` are being removed."
  @spec events(integer, pos_integer, MapSet.t(key)) :: [event]
  def events(seed, lsn, removing) do
    trim =
      for key <- sometimes(seed, lsn, :trim, 12),
          key not in removing,
          do: {:trim, key, max(lsn - draw(seed, lsn, :back, 150), 1)}

    begin = for key <- sometimes(seed, lsn, :begin, 15), key not in removing, do: {:begin, key}
    left = Enum.map(begin, &elem(&1, 1)) ++ Enum.to_list(removing)

    finish =
      if left != [] and draw(seed, lsn, :finish, 10) == 0,
        do: [{:finish, Enum.min(left)}],
        else: []

    trim ++ begin ++ finish
  end

  # Some key every `one_in` transactions.
  defp sometimes(seed, lsn, what, one_in) do
    if draw(seed, lsn, what, one_in) == 0,
      do: [1 + draw(seed, lsn, {what, :key}, @logs)],
      else: []
  end

  defp draw(seed, lsn, what, range), do: :erlang.phash2({seed, lsn, what}, range)

  @doc "All that the store may be when its last transaction is `lsn`: with none, some or all of the events that follow it, but for the first `certain` ones, which happened."
  @spec outcomes(Model.t(), integer, non_neg_integer, non_neg_integer) :: [Model.t()]
  def outcomes(%Model{lsn: lsn} = model, _seed, lsn, _certain), do: [model]

  def outcomes(%Model{} = model, seed, lsn, certain) do
    before =
      Enum.reduce((model.lsn + 1)..(lsn - 1)//1, model, fn past, model ->
        Enum.reduce(events(seed, past, model.removing), %{model | lsn: past}, &apply_event/2)
      end)

    now = %{before | lsn: lsn}
    states = Enum.scan(events(seed, lsn, now.removing), now, &apply_event/2)
    Enum.drop([now | states], certain)
  end

  @doc "The model after an event that followed its last transaction."
  def apply_event({:trim, key, upto}, model),
    do: %{model | trimmed: Map.update(model.trimmed, key, upto, &max(&1, upto))}

  def apply_event({:begin, key}, model), do: %{model | removing: MapSet.put(model.removing, key)}

  def apply_event({:finish, key}, model) do
    %{
      model
      | removing: MapSet.delete(model.removing, key),
        since: Map.put(model.since, key, model.lsn),
        trimmed: Map.delete(model.trimmed, key)
    }
  end
end
